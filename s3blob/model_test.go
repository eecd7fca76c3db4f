package s3blob_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// TestModel does random operations among random faults, and compares with a
// plain map: a read without an error returns everything that was stored, a put that
// returned nil is kept, and one that failed is kept whole or not at all.
func TestModel(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		rapid.Check(inTime{t}, func(r *rapid.T) {
			m := &model{
				f: fake(t, s3blob.Options{
					Attempts: 2, AttemptTimeout: time.Second,
					Unconditional: rapid.Bool().Draw(r, "unconditional"),
				}),
				t: t, certain: map[string][]byte{},
			}
			r.Repeat(map[string]func(*rapid.T){"put": m.put, "get": m.get, "fault": m.fault, "heal": func(*rapid.T) { m.f.faults.Heal() }})
		})
	})
}

// inTime hides from rapid that it runs a *testing.T, whose Deadline may not be
// asked for in a bubble.
type inTime struct{ *testing.T }

// model is what the bucket holds, read around the tier after each put.
type model struct {
	f       fixture
	t       *testing.T
	certain map[string][]byte
	puts    int
}

func (m *model) key(r *rapid.T) string {
	return fmt.Sprintf("row/%d", rapid.IntRange(0, 9).Draw(r, "key"))
}

func (m *model) put(r *rapid.T) {
	key := m.key(r)
	m.puts++
	blob := fmt.Appendf(nil, "blob %d %*d", m.puts, rapid.IntRange(0, 3000).Draw(r, "padding"), 0)
	err := m.f.Put(m.t.Context(), key, blob)
	stored := m.f.stored(m.t, key)
	_, taken := m.certain[key]
	switch {
	case err == nil && taken:
		r.Fatalf("Put on the taken key %q returned nil", key)
	case err == nil && string(stored) != string(blob):
		r.Fatalf("Put of %q returned nil, but %.20q is stored", key, stored)
	case errors.Is(err, fs.ErrExist) && stored == nil:
		r.Fatalf("Put of %q returned ErrExist, but nothing is stored", key)
	case taken && string(stored) != string(m.certain[key]):
		r.Fatalf("Put of %q changed what was stored to %.20q", key, stored)
	case stored != nil && !taken && string(stored) != string(blob):
		r.Fatalf("Put of %q stored other bytes: %.20q", key, stored)
	}
	if stored != nil {
		m.certain[key] = stored
	}
}

func (m *model) get(r *rapid.T) {
	keys := rapid.SliceOfN(rapid.Custom(m.key), 0, 12).Draw(r, "keys")
	got, err := tiertest.Found(m.t.Context(), m.f, keys)
	for _, key := range keys {
		want, stored := m.certain[key]
		blob, found := got[key]
		if found && string(blob) != string(want) || err == nil && found != stored {
			r.Fatalf("Get of %q: %.20q, %v and %v, want %.20q", key, blob, found, err, want)
		}
	}
}

func (m *model) fault(r *rapid.T) {
	fault := rapid.SampledFrom(troubles).Draw(r, "fault").fault
	fault.Chance = 0.5
	fault.Times = rapid.IntRange(1, 5).Draw(r, "times")
	m.f.faults.Inject(fault)
}
