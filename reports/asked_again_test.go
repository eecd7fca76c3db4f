package reports

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/tiered"
)

// changing is a collector that holds something else when it is asked again.
type changing struct {
	held  []func() Holdings // the last one for ever
	asked int
}

func (*changing) Name() string { return "collector:1" }

func (*changing) Live(context.Context, string) (Answer, error) {
	return Answer{}, errors.New("not here")
}

func (p *changing) Held(context.Context, string, time.Time, time.Time) (Holdings, error) {
	h := p.held[min(p.asked, len(p.held)-1)]()
	p.asked++
	return h, nil
}

// holdings have a version and one sealed value that is not stored yet.
func holdings(version string, now int64) Holdings {
	return Holdings{Held: bucket.Held[*report.Report]{Version: version, Next: now, Since: now - 5,
		Sealed: []bucket.HeldValue[*report.Report]{sealedAt(now-1000, "s", hosts("h1"), nil)}}}
}

func sealedAt(at int64, key string, r *report.Report, err error) bucket.HeldValue[*report.Report] {
	return bucket.HeldValue[*report.Report]{Entry: index.Entry{Time: at, Key: key}, Own: true, Value: r, Err: err}
}

// TestACollectorThatIsAskedAgain changes what a collector holds before it is asked whether it is still the same process. The answer has what
// it held at first, and names what of it could not be read.
func TestACollectorThatIsAskedAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().UnixNano()
	first := func() Holdings {
		h := holdings("c-1", now)
		h.Sealed = append(h.Sealed, sealedAt(now-900, "u", nil, errors.New("the disk failed")))
		h.Shortcuts = []shortcuts.Shortcut{{Key: "x", Report: hosts("h2")}}
		return h
	}
	second := func() Holdings { return holdings("c-2", now+10) } // u was stored, and h2's report came
	p := &changing{held: []func() Holdings{first, second}}
	q, err := NewQuerier(index.NewMemIndex(), new(tiered.MemTier), peerList{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := q.Report(t.Context(), "a", q.AfterNow())
	if err != nil {
		t.Fatal(err)
	}
	if p.asked != 2 || len(a.Missing) != 1 {
		t.Errorf("asked %d times, missing %q, want 2 times and one value", p.asked, a.Missing)
	}
	equal(t, a.Report, merged(t, hosts("h1"), hosts("h2")))
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// muted is a collector that answers once.
type muted struct{ changing }

func (p *muted) Held(ctx context.Context, tenant string, from, to time.Time) (Holdings, error) {
	if p.asked > 0 {
		return Holdings{}, ErrNoHoldings
	}
	return p.changing.Held(ctx, tenant, from, to)
}

// TestACollectorThatTellsOnlyOnce asks about an hour ago. A collector tells of a report of then, and does not tell any more when it is asked for
// its version. The answer names it, as it would not name a collector of Scope's.
func TestACollectorThatTellsOnlyOnce(t *testing.T) {
	t.Parallel()
	ago := time.Now().Add(-time.Hour)
	p := &muted{changing{held: []func() Holdings{func() Holdings {
		h := holdings("c-1", ago.UnixNano())
		h.Next = time.Now().UnixNano()
		return h
	}}}}
	q, err := NewQuerier(index.NewMemIndex(), new(tiered.MemTier), peerList{p}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := q.Range(t.Context(), "a", ago.Add(-time.Minute), ago.Add(time.Minute))
	if err != nil || len(a.Missing) != 1 || a.Missing[0] != p.Name() {
		t.Errorf("missing %q, %v, want the collector", a.Missing, err)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
