package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
)

const (
	storeSkew = 200 * time.Millisecond
	linger    = 4 * time.Second // late writes arrive at the index earlier than this
	lateness  = 8 * time.Second
)

// spans are the levels of a fleet.
var spans = []time.Duration{2 * time.Second, 8 * time.Second}

// roll turns levels on, in most fleets. Every process knows of them from its start, so that builders need not wait.
func (w *world) roll() {
	if w.rolled = w.seed%4 != 0 || w.harsh; !w.rolled {
		return
	}
	s := levels.Settings{Spans: spans, Lateness: lateness, Skew: storeSkew, Linger: linger}
	if err := levels.New(w.entries, nil).Publish(context.Background(), s, true); err != nil {
		w.Fatal(err)
	}
}

// levels returns the levels of a collector: all of them build, for every tenant.
func (w *world) levels() *bucket.LevelOptions {
	if !w.rolled {
		return nil
	}
	return &bucket.LevelOptions{Spans: spans, Lateness: lateness, Skew: storeSkew, Linger: linger, Build: bucket.BuildAll,
		Owned: w.disk != nil, AllKnow: true, Logger: quiet}
}

// groupCommit says when journals are synced: in half of the fleets before a value is acknowledged, all that wait together.
func (w *world) groupCommit() journal.Sync {
	if w.seed%2 == 0 {
		return journal.Always
	}
	return journal.Off
}

// checkSeals compares every visible seal with the entries of its span. Nothing else may run meanwhile.
func (w *world) checkSeals() {
	if !w.rolled {
		return
	}
	protocol := levels.New(w.entries, nil)
	for _, tenant := range tenants {
		for _, level := range spans {
			places, err := protocol.Places(context.Background(), tenant, level, 0, w.begun.Add(far).UnixNano())
			if err != nil {
				w.Fatal(err)
			}
			for _, p := range places {
				if p.Kind == levels.Sealed {
					w.checkSeal(p)
				}
			}
		}
	}
}

func (w *world) checkSeal(p levels.Place) {
	var keys []string
	for row := range index.Rows(p.Tenant, p.Start, p.End()) {
		entries, err := w.entries.Query(context.Background(), row, p.Start, p.End())
		if err != nil {
			w.Fatal(err)
		}
		for _, e := range entries {
			keys = append(keys, e.Key)
		}
	}
	w.stats.seals.Add(1)
	if p.Entries != len(keys) {
		w.Errorf("seed %d, %v after the start: the seal of the %v counts %d entries, and there are %d", w.seed, time.Since(w.begun), p.Span, p.Entries, len(keys))
		return
	}
	if rolled := w.idsOf(p.Key); rolled != nil && !w.lies { // a late blob cannot be compared yet
		if entries := w.idsOf(keys...); !slices.Equal(rolled, entries) {
			w.Errorf("seed %d, %v after the start: the roll-up of the %v holds %v, and its entries %v", w.seed, time.Since(w.begun), p.Span, rolled, entries)
		}
	}
}
