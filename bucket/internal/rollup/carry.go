package rollup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// Side is a store that roll-ups are copied from or to.
type Side struct {
	Protocol *levels.Protocol
	Index    index.Index
	Blobs    interface {
		// Get returns the blobs of keys, by index; nil is absent.
		Get(ctx context.Context, keys []string) ([][]byte, error)
		// Put stores a blob; the error is index.ErrExists when the key is taken.
		Put(ctx context.Context, key string, blob []byte) error
	}
}

// Carried counts what a Carrier has done with a tenant's roll-ups.
type Carried struct {
	Copied  int       // roll-ups that stand for their spans at the destination now
	Bytes   int64     // of their blobs
	Present int       // spans that have a roll-up there, or whose roll-up does not pay there
	Left    int       // spans whose roll-up has other values than the destination: they are built there
	Waiting int       // spans that are held, claimed, or that ended too short ago there
	Until   time.Time // when waiting spans can be copied that cannot be built; zero where there are none
	Failed  int       // spans that could not be copied, and cannot be built there
}

// Carrier copies roll-ups from one store to another, whose entries were copied
// before. A roll-up is sealed at the destination as a builder seals one: after a
// claim, and only if it holds the entries that the destination has. Where
// retention has removed entries, the destination may lack some, and must not have
// any that the source did not have. It may be interrupted and repeated.
type Carrier struct {
	From, To Side
	Owned    bool // no other process writes the destination
	// Sum returns the print of entries and of other prints together.
	Sum func(entries []index.Entry, prints []string) (string, error)
	// Keep is how long the destination keeps entries, where it has no settings yet;
	// 0: as long as the source.
	Keep     time.Duration
	Parallel int                       // roll-ups at a time
	Warn     func(levels.Place, error) // told of each that fails
	source   levels.Settings           // set by Prepare
	target   levels.Settings           // likewise
}

// Prepare reads and writes the settings of levels, before Copy. It returns when
// roll-ups may be written. The error is levels.ErrOff where the source has none.
func (c *Carrier) Prepare(ctx context.Context) (from time.Time, err error) {
	if c.source, err = c.From.Protocol.Settings(ctx); err != nil {
		return from, err
	}
	gone := c.source.GoneBy(c.From.Protocol.Time())
	c.target, err = c.To.Protocol.Adopt(ctx, c.offered(), gone, c.Owned)
	return time.Unix(0, c.target.From), err
}

// offered returns the settings for a destination that has none.
func (c *Carrier) offered() levels.Settings {
	s, d := c.source, levels.Default()
	if s.Skew, s.Linger = d.Skew, d.Linger; c.Owned {
		s.Skew, s.Linger = 0, 0
	}
	if s.Lateness <= s.Linger+2*s.Skew {
		s.Lateness = d.Lateness
	}
	s.Gone, s.Former, s.Until, s.Waits = 0, 0, 0, false // those of the source say what its store does
	if waiter, ok := c.To.Index.(index.Waiter); ok && c.Keep == 0 {
		_, _, outlives := s.PastKeep(time.Time{})
		s.Waits = outlives && waiter.Waits()
	}
	if c.Keep == 0 {
		return s
	}
	keep := make([]time.Duration, 1+len(s.Spans))
	for i := range keep {
		if keep[i] = c.Keep; len(s.Keep) == len(keep) && i > 0 && (s.Keep[i] == 0 || s.Keep[i] > c.Keep) {
			keep[i] = s.Keep[i]
		}
	}
	s.Keep = keep
	return s
}

// Copy copies the roll-ups of a tenant's spans that lie in [from, to), Unix
// nanoseconds. Its error says that a store fails.
func (c *Carrier) Copy(ctx context.Context, tenant string, from, to int64) (Carried, error) {
	k := &carrying{Carrier: c, tenant: tenant}
	for _, level := range c.source.Spans {
		if err := k.level(ctx, level, from, to); err != nil {
			return k.done, err
		}
	}
	return k.done, nil
}

// carrying is one call of Copy.
type carrying struct {
	*Carrier
	tenant string

	mu   sync.Mutex // guards done
	done Carried
}

// level copies the roll-ups of one level.
func (k *carrying) level(ctx context.Context, level time.Duration, from, to int64) error {
	from, to = levels.Whole(from, to, int64(level))
	seals, err := k.seals(ctx, level, from, to)
	if err != nil || len(seals) == 0 {
		return err
	}
	there, err := k.To.Protocol.Places(ctx, k.tenant, level, seals[0].Start, seals[len(seals)-1].End())
	if err != nil {
		return err
	}
	group, copying := errgroup.WithContext(ctx)
	group.SetLimit(max(1, k.Parallel))
	for _, seal := range seals {
		if copying.Err() != nil {
			break
		}
		if i := slices.IndexFunc(there, func(p levels.Place) bool { return p.Start == seal.Start }); i >= 0 && k.settled(&seal, &there[i]) {
			continue
		}
		group.Go(func() error { return k.carry(copying, seal) })
	}
	return errors.Join(group.Wait(), ctx.Err())
}

// seals returns the source's roll-ups of a level that hold values.
func (k *carrying) seals(ctx context.Context, level time.Duration, from, to int64) ([]levels.Place, error) {
	if from >= to {
		return nil, nil
	}
	places, err := k.From.Protocol.Places(ctx, k.tenant, level, from, to)
	return slices.DeleteFunc(k.source.Kept(places, k.From.Protocol.Time()), func(p levels.Place) bool {
		return p.Kind != levels.Sealed || p.Entries == 0
	}), err
}

// errOther says that the destination has values of a span that the roll-up lacks,
// or lacks some that it has.
var errOther = errors.New("the destination has other values of this span, whose roll-up cannot be built there: delete them there, and repeat the copy")

// settled counts a seal whose span needs nothing at the destination.
func (k *carrying) settled(seal, there *levels.Place) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case there.Kind == levels.Sealed && (there.Entries >= seal.Entries || !k.final(seal)), there.Kind == levels.Void:
		k.done.Present++
		return true
	case there.Kind == levels.Sealed:
		k.fail(*seal, errOther)
		return true
	}
	return false
}

// final reports whether the destination may lack entries of a span.
func (k *carrying) final(seal *levels.Place) bool {
	return seal.Start < k.target.Horizon(k.To.Protocol.Time())
}

// carry copies one roll-up.
func (k *carrying) carry(ctx context.Context, seal levels.Place) error {
	lasts := min(maxClaim, max(k.target.Lateness/2, 10*time.Second))
	_, err := k.To.Protocol.Carry(ctx, seal.Span, lasts, &carryWork{k, seal})
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil:
		k.done.Copied++
		k.done.Bytes += seal.Size
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errOther) && !k.final(&seal):
		k.done.Left++
	case errors.Is(err, levels.ErrTooSoon), errors.Is(err, levels.ErrLost):
		k.done.Waiting++
		if k.final(&seal) {
			return k.await(ctx, &seal)
		}
	default:
		k.fail(seal, err)
		if k.done.Failed >= maxFailed {
			return errors.New("gave up: repeat the copy once the cause is fixed")
		}
	}
	return nil
}

// maxFailed is after how many roll-ups of a tenant that fail a copy gives up.
const maxFailed = 100

// fail counts a failure. The caller holds mu.
func (k *carrying) fail(seal levels.Place, err error) {
	k.done.Failed++
	if k.Warn != nil {
		k.Warn(seal, err)
	}
}

// await notes when a span can be claimed. The caller holds mu.
func (k *carrying) await(ctx context.Context, seal *levels.Place) error {
	place, err := k.To.Protocol.Place(ctx, seal.Span)
	if err != nil {
		return err
	}
	at := time.Unix(0, max(place.Until, k.target.From)).Add(2*k.target.Skew + time.Second)
	if at.After(k.done.Until) {
		k.done.Until = at
	}
	return nil
}

// carryWork is the work of sealing a span with the source's roll-up.
type carryWork struct {
	*carrying
	seal levels.Place // the source's
}

// RollUp implements levels.Work.
func (p *carryWork) RollUp(ctx context.Context, claim levels.Place, parts []levels.Part) (*levels.Seal, string, error) {
	fits, err := p.fits(ctx, &claim, parts)
	if err != nil {
		return nil, "", err
	}
	if !fits {
		return nil, "", errOther
	}
	found, err := p.From.Blobs.Get(ctx, []string{p.seal.Key})
	switch {
	case err != nil:
		return nil, "", err
	case found[0] == nil:
		return nil, "", errors.New("the source does not have the roll-up's blob")
	}
	sum := blob.SumOf(found[0])
	if p.seal.Sum.Known() && p.seal.Sum != sum {
		return nil, "", errors.New("the roll-up's blob is damaged: its bytes do not have the sum that the index holds")
	}
	seal := *p.seal.Seal
	seal.Key, seal.Size, seal.Sum = levels.Key(claim.Span, claim.ID()), int64(len(found[0])), sum
	if err := p.To.Blobs.Put(ctx, seal.Key, found[0]); err != nil && !errors.Is(err, index.ErrExists) {
		return nil, "", err
	}
	return &seal, "", nil
}

// fits reports whether the roll-up is the merge of what the destination has of its
// span, or, where retention removes entries, of that and more.
func (p *carryWork) fits(ctx context.Context, claim *levels.Place, parts []levels.Part) (bool, error) {
	w := work{Options{Index: p.To.Index}}
	var entries []index.Entry
	var prints []string
	count := 0
	for _, part := range parts {
		if part.Place != nil {
			prints, count = append(prints, part.Place.Print), count+part.Place.Entries
			continue
		}
		n, err := w.entries(ctx, p.tenant, part.From, part.To, func(some []index.Entry) { entries = append(entries, some...) })
		if count += n; err != nil {
			return false, err
		}
	}
	sum, err := p.Sum(entries, prints)
	if err != nil || count == p.seal.Entries && sum == p.seal.Print {
		return err == nil, err
	}
	if !p.final(claim) || count >= p.seal.Entries {
		return false, nil
	}
	return p.partOf(ctx, entries, parts)
}

// partOf reports whether the source has all of the destination's entries and
// shorter roll-ups of the span.
func (p *carryWork) partOf(ctx context.Context, entries []index.Entry, parts []levels.Part) (bool, error) {
	w := work{Options{Index: p.From.Index}}
	missing := entries
	if len(entries) > 0 {
		_, err := w.entries(ctx, p.tenant, p.seal.Start, p.seal.End(), func(some []index.Entry) {
			missing = slices.DeleteFunc(missing, func(e index.Entry) bool {
				at, taken := index.Search(some, e.Time)
				return taken && some[at].Same(e)
			})
		})
		if err != nil || len(missing) > 0 {
			return false, err
		}
	}
	for _, part := range parts {
		if part.Place == nil {
			continue
		}
		own, err := p.From.Protocol.Place(ctx, part.Place.Span)
		if err != nil {
			return false, fmt.Errorf("the source: %w", err)
		}
		if own.Kind != levels.Sealed || own.Print != part.Place.Print {
			return false, nil
		}
	}
	return true, nil
}

// Spans returns how many roll-ups of a tenant's range hold values, and how many of
// them cannot be built again, since retention may have removed values.
func (c *Carrier) Spans(ctx context.Context, tenant string, from, to int64) (all, final int, err error) {
	s, err := c.From.Protocol.Settings(ctx)
	if err != nil {
		return 0, 0, err
	}
	k := &carrying{Carrier: &Carrier{From: c.From, source: s}, tenant: tenant}
	horizon := s.Horizon(c.From.Protocol.Time())
	for _, level := range s.Spans {
		first, end := levels.Whole(max(from, math.MinInt64), to, int64(level))
		seals, err := k.seals(ctx, level, first, end)
		if err != nil {
			return all, final, err
		}
		for _, seal := range seals {
			if all++; seal.Start < horizon {
				final++
			}
		}
	}
	return all, final, nil
}
