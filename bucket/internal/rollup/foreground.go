package rollup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/internal/gate"
)

// Done is what a build in the foreground has done so far.
type Done struct {
	Built    int       // spans that were sealed
	Void     int       // spans whose roll-up is not kept
	Waiting  int       // spans that a late value or another builder holds, or that ended too short ago
	Failed   int       // spans that could not be built
	Verified int       // seals that were computed again and are right
	Differ   int       // seals that were not, and were built again
	At       time.Time // everything before it has been looked at
}

// Task says what RollUp does.
type Task struct {
	Verify   bool       // compute what is sealed again, and compare
	Progress func(Done) // called by one goroutine at a time; nil: nobody
}

// TooSoonError says that levels of a shared index were turned on a moment ago, so
// that not every writer need know of them.
type TooSoonError struct {
	From time.Time // when builders start
}

func (e *TooSoonError) Error() string {
	return fmt.Sprintf("levels of this index were turned on a moment ago: builders start at %s, when every writer knows of them",
		e.From.UTC().Format(time.RFC3339))
}

// RollUp builds what is missing at every level in the spans that touch [from,
// to), Unix nanoseconds, and returns when all was tried. Several may run at a
// time, and it may be interrupted and repeated.
func (b *Builder) RollUp(ctx context.Context, tenant string, from, to int64, task Task) (Done, error) {
	if err := b.opts.Protocol.Publish(ctx, b.opts.Settings, b.opts.Owned); err != nil {
		return Done{}, err
	}
	s, err := b.opts.Protocol.Settings(ctx)
	if err != nil {
		return Done{}, err
	}
	now := b.opts.Protocol.Time()
	if from := time.Unix(0, s.From); now.Before(from) {
		return Done{}, &TooSoonError{from}
	}
	f := &foreground{Builder: b, task: task, settings: s, tenant: tenant}
	return f.end(ctx, f.all(ctx, now, from, to))
}

// all builds at every level.
func (f *foreground) all(ctx context.Context, now time.Time, from, to int64) error {
	s, tenant := f.settings, f.tenant
	longest := int64(s.Spans[len(s.Spans)-1])
	from = max(from, math.MinInt64+longest) // the span before that has no start
	to = min(to, now.UnixNano()-int64(s.Lateness))
	for at := levels.SpanAt(tenant, time.Duration(longest), from).Start; at < to && ctx.Err() == nil; at += longest {
		for _, level := range s.Spans {
			if err := f.level(ctx, level, max(at, levels.SpanAt(tenant, level, from).Start), min(at+longest, to)); err != nil {
				return err
			}
		}
		f.reach(time.Unix(0, min(at+longest, to)))
	}
	return nil
}

// end returns what was done. It does not count what hanging builds do later.
func (f *foreground) end(ctx context.Context, err error) (Done, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over = true; err == nil {
		err = errors.Join(ctx.Err(), f.failure)
	}
	return f.done, err
}

// foreground is one call of RollUp.
type foreground struct {
	*Builder
	task     Task
	settings levels.Settings
	tenant   string

	mu      sync.Mutex // guards what follows
	done    Done
	failure error // of the first span that failed
	over    bool  // RollUp has returned
}

// level builds and verifies the spans of a level that start in [from, to) and
// end by the lateness before now.
func (f *foreground) level(ctx context.Context, level time.Duration, from, to int64) error {
	to = levels.SpanAt(f.tenant, level, to).Start
	if from >= to {
		return nil
	}
	if f.task.Verify {
		if err := f.verifyAll(ctx, level, from, to); err != nil {
			return err
		}
	}
	spans, err := f.work.missing(ctx, f.settings, f.tenant, level, from, to)
	if err != nil {
		return err
	}
	return f.each(ctx, len(spans), func(i int) { f.note(f.work.build(ctx, spans[i])) })
}

// each calls do with 0 to n-1, as many at a time as there are cores to use.
func (f *foreground) each(ctx context.Context, n int, do func(i int)) error {
	var calls []*gate.Call
	crew := newCrew(&f.opts)
	for i := range n {
		call, err := crew.Go(ctx, func() { do(i) })
		if err != nil {
			break
		}
		calls = append(calls, call)
	}
	if left := crew.Wait(ctx, calls); len(left) > 0 && ctx.Err() == nil {
		return fmt.Errorf("%d builds of tenant %q do not return: %w", len(left), f.tenant, errHangs)
	}
	return ctx.Err()
}

// note counts a build.
func (f *foreground) note(place levels.Place, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil && place.Kind == levels.Void:
		f.done.Void++
	case err == nil:
		f.done.Built++
	case errors.Is(err, errFew), errors.Is(err, levels.ErrGone):
	case errors.Is(err, levels.ErrLost), errors.Is(err, levels.ErrTooSoon):
		f.done.Waiting++
	default:
		f.done.Failed++
		if f.failure == nil {
			f.failure = err
		}
	}
	f.tell()
}

// tell reports progress. The caller holds mu.
func (f *foreground) tell() {
	if f.task.Progress != nil && !f.over {
		f.task.Progress(f.done)
	}
}

// reach notes up to where everything was looked at.
func (f *foreground) reach(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done.At = at
	f.tell()
}

// verifyAll computes the seals of a level again. One that differs is broken, so
// that it is built again, and void spans are tried again.
func (f *foreground) verifyAll(ctx context.Context, level time.Duration, from, to int64) error {
	places, err := f.opts.Protocol.Places(ctx, f.tenant, level, from, to)
	if err != nil {
		return err
	}
	return f.each(ctx, len(places), func(i int) { f.verify(ctx, places[i]) })
}

func (f *foreground) verify(ctx context.Context, place levels.Place) {
	_, err := f.work.clean(ctx, place.Span)
	same := true
	if place.Kind == levels.Sealed && err == nil {
		same, err = f.work.same(ctx, f.settings, place)
	}
	switch {
	case err != nil:
	case !same:
		f.opts.Logger.Warn("a roll-up differs from the merge of its entries and is built again", "span", place.Span.String())
		err = f.opts.Protocol.Break(ctx, place)
	case place.Kind == levels.Void:
		err = f.opts.Protocol.Reopen(ctx, place)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil:
		f.done.Failed++
		if f.failure == nil {
			f.failure = fmt.Errorf("verify the %v: %w", place.Span, err)
		}
	case !same:
		f.done.Differ++
	case place.Kind == levels.Sealed:
		f.done.Verified++
	}
	f.tell()
}

// same reports whether a seal's roll-up can be read and is the merge of its
// entries. Where retention may have removed entries, it only looks whether the
// roll-up can be read.
func (w *work) same(ctx context.Context, s levels.Settings, seal levels.Place) (bool, error) {
	var own Merged // the roll-up, encoded again: its bytes may be of another version, or of other options, of the codec
	if seal.Entries > 0 {
		var err error
		own, err = w.Merger.Merge(ctx, seal.Tenant, []levels.Part{{From: seal.Start, To: seal.End(), Place: &seal}})
		if err != nil || own.Count != seal.Entries {
			return false, unlessLasting(w.Merger, err)
		}
	}
	if seal.Start < s.Horizon(w.Protocol.Time()) {
		return true, nil
	}
	flat, err := w.Merger.Merge(ctx, seal.Tenant, []levels.Part{{From: seal.Start, To: seal.End()}})
	if err != nil || flat.Count != seal.Entries || flat.Print != seal.Print {
		return false, unlessLasting(w.Merger, err)
	}
	return w.sameValue(ctx, s, seal, own.Blob, flat.Blob)
}

// sameValue reports whether a seal's roll-up, whose blob is own, has the value of
// the merge of its entries, whose blob is flat.
func (w *work) sameValue(ctx context.Context, s levels.Settings, seal levels.Place, own, flat []byte) (bool, error) {
	if seal.Entries == 0 || blob.SumOf(flat) == seal.Sum {
		return true, nil
	}
	if same, err := w.Merger.Same(own, flat); err != nil || same {
		return same, err
	}
	parts, err := w.Protocol.Cover(ctx, s.Below(seal.Level), seal.Tenant, seal.Start, seal.End(), nil)
	if err != nil {
		return false, err
	}
	again, err := w.Merger.Merge(ctx, seal.Tenant, parts) // merges of merges may have other bytes
	if err != nil {
		return false, unlessLasting(w.Merger, err)
	}
	return w.Merger.Same(own, again.Blob)
}

// unlessLasting returns an error that says nothing about the roll-up.
func unlessLasting(m Merger, err error) error {
	if err == nil || m.Lasting(err) {
		return nil
	}
	return err
}
