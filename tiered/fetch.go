package tiered

import (
	"context"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/readthrough"
	"github.com/timeblob/timeblob/internal/tracing"
)

// reader is one Get: memory is its cache, and its fetch goes down the tiers.
type reader[T any] struct {
	store *Store[T]
	refs  []blob.Ref
}

var _ readthrough.Source[flightKey, int] = (*reader[int])(nil)

// Key implements readthrough.Source.
func (r *reader[T]) Key(i int) flightKey { return flightKey{r.refs[i].Key, r.refs[i].Sum} }

// Look implements readthrough.Source.
func (r *reader[T]) Look(i int, _ bool) (result blob.Result[T], ok bool) {
	k := r.store.memory.Peek(r.refs[i].Key)
	if !k.answers(r.refs[i].Sum) {
		return result, false
	}
	return blob.Result[T]{Value: k.value, Found: true, Size: k.size}, true
}

// read fetches the open refs, or waits for other callers who do.
func (r *reader[T]) read(ctx context.Context, open []int, results []blob.Result[T]) {
	ctx, reading := spans.Child(ctx, "Get")
	r.store.flights.Read(ctx, open, results, r)
	if !reading.Recording() {
		return
	}
	found, err := 0, error(nil)
	for _, i := range open {
		if results[i].Found {
			found++
		}
		if err == nil {
			err = results[i].Err
		}
	}
	reading.Int(tracing.Keys, len(open))
	reading.Int(tracing.Found, found)
	reading.End(err)
}

// Fetch implements readthrough.Source: it reads the open refs from one tier
// after the other.
func (r *reader[T]) Fetch(ctx context.Context, open []int, results []blob.Result[T]) {
	d := descent[T]{reader: r, results: results, open: open}
	for depth := range r.store.levels {
		if len(d.open) == 0 {
			break
		}
		if err := ctx.Err(); err != nil {
			d.fail(err)
			break
		}
		d.ask(ctx, depth)
	}
}

// descent is a set of refs on its way down the tiers.
type descent[T any] struct {
	*reader[T]
	results []blob.Result[T] // by ref
	open    []int            // the refs without a result; they are absent so far
}

// fail gives all open refs an error.
func (d *descent[T]) fail(err error) {
	for _, i := range d.open {
		d.results[i].Err = err
	}
	d.open = nil
}

// ask reads all open refs from one level and closes the refs that it answers.
func (d *descent[T]) ask(ctx context.Context, depth int) {
	l := d.store.levels[depth]
	withheld := d.withhold(l)
	defer func() { d.open = append(d.open, withheld...) }()
	if len(d.open) == 0 {
		return
	}
	keys := make([]string, len(d.open))
	for n, i := range d.open {
		keys[n] = d.refs[i].Key
	}
	blobs, err := l.get(ctx, keys)
	found := d.divide(blobs)
	d.store.decoder.all(ctx, found)
	if err != nil && l.isAuthority() {
		d.fail(err)
	}
	for n := range found {
		d.take(ctx, depth, &found[n])
	}
}

// withhold removes the refs that a level does not admit from the open refs, and
// returns them.
func (d *descent[T]) withhold(l *level) (withheld []int) {
	if !l.sumsOnly {
		return nil
	}
	var asked []int
	for _, i := range d.open {
		if l.reads(d.refs[i]) {
			asked = append(asked, i)
		} else {
			withheld = append(withheld, i)
		}
	}
	d.open = asked
	return withheld
}

// divide returns the blobs that were found, and leaves the other refs open.
func (d *descent[T]) divide(blobs [][]byte) (found []decoding[T]) {
	var absent []int
	for n, i := range d.open {
		if blobs[n] == nil {
			absent = append(absent, i)
			continue
		}
		if found == nil {
			found = make([]decoding[T], 0, len(d.open)-n)
		}
		found = append(found, decoding[T]{index: i, sum: d.refs[i].Sum, blob: blobs[n]})
	}
	d.open = absent
	return found
}

// take writes the result of a decoded blob. A cache's corrupt blob leaves its
// ref open, so that the next level is asked and the cache's blob replaced.
func (d *descent[T]) take(ctx context.Context, depth int, p *decoding[T]) {
	ref, result, l := d.refs[p.index], &d.results[p.index], d.store.levels[depth]
	switch {
	case p.err == nil:
		*result = blob.Result[T]{Value: p.value, Found: true, Size: int64(len(p.blob))}
		d.store.keep(depth, ref, p)
	case p.err == ctx.Err():
		result.Err = p.err
	case l.isAuthority():
		l.metrics.wrong()
		result.Err = &CorruptError{Key: ref.Key, Tier: l.name, Err: p.err}
	default:
		l.metrics.wrong()
		d.open = append(d.open, p.index)
	}
}

// keep puts a value into memory and its blob into the caches above the level
// that it was found at.
func (s *Store[T]) keep(depth int, ref blob.Ref, p *decoding[T]) {
	for _, l := range s.levels[:depth] {
		if l.reads(ref) {
			l.queue.add(ref.Key, p.blob)
		}
	}
	if s.memory == nil {
		return
	}
	weight := s.scale.Weigh(p.value, int64(len(p.blob)))
	s.memory.Add(ref.Key, kept[T]{p.value, int64(len(p.blob)), ref.Sum}, weight+int64(len(ref.Key))+overhead)
}
