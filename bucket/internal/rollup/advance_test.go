package rollup

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// TestEntriesWaitForTheirRollUps keeps entries for a day and minutes for ever. While
// roll-ups cannot be built, and while a late value's spans are held, no entry may go;
// nobody has asked about the tenant.
func TestEntriesWaitForTheirRollUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		h, start := newHall(t), midnight()
		h.fill("a", start, start.Add(6*time.Hour), 20*time.Second)
		time.Sleep(3 * day)
		h.shelf.set(func(s *shelf) { s.err = errors.New("the store is away") })
		b := h.builder(func(o *Options) {
			o.Settings.Keep, o.Settings.Grace, o.Settings.Waits = []time.Duration{day, 0, 0, 0}, time.Hour, true
			o.Tenants = func(context.Context) iter.Seq2[string, error] { return h.index.Tenants(t.Context()) }
		})
		h.run(b, 3*time.Hour)
		if gone := h.removable(); gone > start.UnixNano() {
			t.Errorf("entries before %v may go, and none is rolled up", time.Unix(0, gone).UTC())
		}
		h.shelf.set(func(s *shelf) { s.err = nil })
		h.run(b, 2*time.Hour)
		h.want("a", 360, 0, 1)
		if gone, want := h.removable(), time.Now().Add(-26*time.Hour).Truncate(time.Hour); gone < want.UnixNano() {
			t.Errorf("entries before %v may go, want %v", time.Unix(0, gone).UTC(), want)
		}
		h.fill("a", time.Now().Add(-25*time.Hour).Truncate(time.Hour), time.Now(), 20*time.Second)
		h.run(b, 40*time.Minute)
		held := time.Now().Add(-25 * time.Hour).Truncate(time.Hour).Add(30 * time.Minute)
		if err := h.late(b, "a", held.Add(time.Millisecond)); err != nil {
			t.Fatalf("a value past its retention that is within the grace: %v", err)
		}
		h.shelf.set(func(s *shelf) { s.err = errors.New("the store is away again") })
		h.run(b, 5*time.Hour)
		if gone := h.removable(); gone > held.UnixNano() {
			t.Errorf("entries before %v may go, and the minute from %v on is held", time.Unix(0, gone).UTC(), held)
		}
		h.shelf.set(func(s *shelf) { s.err = nil })
		h.run(b, 2*time.Hour)
		if gone := h.removable(); gone <= held.UnixNano() {
			t.Errorf("entries before %v may go, long after all was rolled up", time.Unix(0, gone).UTC())
		}
		minute := levels.SpanAt("a", time.Minute, held.UnixNano())
		sealed := h.sealed("a", time.Minute)
		if i := slices.IndexFunc(sealed, func(p levels.Place) bool { return p.Start == minute.Start }); i < 0 || sealed[i].Entries != 4 {
			t.Error("the late value is not in its minute")
		}
	})
}

// removable returns the instant before which entries may go.
func (h *hall) removable() int64 {
	h.Helper()
	settings, err := h.index.Places(h.Context(), index.SettingsSet, 0, 1)
	if err != nil {
		h.Fatal(err)
	}
	before, limited, err := index.Removable(settings[0].State)
	if err != nil || !limited {
		h.Fatalf("entries do not wait, %v", err)
	}
	return before
}
