package tiertest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broken is a tier that breaks one promise.
type broken struct {
	tiered.MemTier
	get func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error)
	put func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error
}

func (b *broken) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if b.get != nil {
		return b.get(&b.MemTier, ctx, keys)
	}
	return b.MemTier.Get(ctx, keys)
}

func (b *broken) Put(ctx context.Context, key string, blob []byte) error {
	if b.put != nil {
		return b.put(&b.MemTier, ctx, key, blob)
	}
	return b.MemTier.Put(ctx, key, blob)
}

// answering makes a tier that changes what it found.
func answering(change func(found map[string][]byte, keys []string)) func() tiered.Tier {
	return func() tiered.Tier {
		return &broken{get: func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error) {
			asked := slices.Clone(keys)
			found, err := Found(ctx, m, keys)
			if err == nil {
				change(found, keys)
			}
			return byIndex(asked, found), err
		}}
	}
}

// byIndex returns the blobs found in the order of keys.
func byIndex(keys []string, found map[string][]byte) [][]byte {
	blobs := make([][]byte, len(keys))
	for i, key := range keys {
		blobs[i] = found[key]
	}
	return blobs
}

// storing makes a tier that puts in its own way.
func storing(put func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error) func() tiered.Tier {
	return func() tiered.Tier { return &broken{put: put} }
}

func overwriting(result error) func() tiered.Tier {
	return storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		found, _ := Found(ctx, m, []string{key})
		_ = m.Delete(ctx, []string{key})
		if err := m.Put(ctx, key, blob); err != nil || len(found) == 0 {
			return err
		}
		return result
	})
}

// sharing is a tier whose blobs are its callers' memory.
type sharing struct {
	mu    sync.Mutex
	blobs map[string][]byte
}

func newSharing() tiered.Tier { return &sharing{blobs: map[string][]byte{}} }

func (s *sharing) Get(_ context.Context, keys []string) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return byIndex(keys, s.blobs), nil
}

func (s *sharing) Put(_ context.Context, key string, blob []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[key] = blob
	return nil
}

// breakages are tiers that each break one promise, and the check to see it.
var breakages = []struct {
	name  string
	check func(context.Context, tiered.Tier) error
	open  func() tiered.Tier
}{
	{"empty blobs are lost", checkSizes, answering(func(found map[string][]byte, _ []string) {
		maps.DeleteFunc(found, func(_ string, b []byte) bool { return len(b) == 0 })
	})},
	{"blobs end at a line's end", checkBinary, answering(func(found map[string][]byte, _ []string) {
		for key, blob := range found {
			found[key], _, _ = bytes.Cut(blob, []byte("\r\n"))
		}
	})},
	{"the sign is lost", checkKeys, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		return m.Put(ctx, strings.ReplaceAll(key, "-", ""), blob)
	})},
	{"long keys are cut", checkKeys, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		return m.Put(ctx, key[:min(len(key), 97)], blob)
	})},
	{"absent keys are empty", checkAbsent, answering(func(found map[string][]byte, keys []string) {
		for _, key := range keys {
			found[key] = append([]byte{}, found[key]...)
		}
	})},
	{"absent keys are errors", checkAbsent, func() tiered.Tier {
		return &broken{get: func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error) {
			found, _ := m.Get(ctx, keys)
			if slices.ContainsFunc(found, func(blob []byte) bool { return blob == nil }) {
				return found, errors.New("no such key")
			}
			return found, nil
		}}
	}},
	{"blobs nobody asked for", checkAbsent, func() tiered.Tier {
		f := faulttest.NewTier(new(tiered.MemTier), 1)
		f.Inject(faulttest.Fault{Stray: true})
		return f
	}},
	{"no keys means all", checkNoKeys, func() tiered.Tier {
		return &broken{get: func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error) {
			if len(keys) == 0 {
				keys = []string{"all"}
			}
			return m.Get(ctx, keys)
		}}
	}},
	{"a key that repeats is lost", checkDuplicates, answering(func(found map[string][]byte, keys []string) {
		if len(keys) > 1 && keys[0] == keys[len(keys)-1] {
			delete(found, keys[0])
		}
	})},
	{"only the first hundred", checkBatch, answering(func(found map[string][]byte, keys []string) {
		for _, key := range keys[min(100, len(keys)):] {
			delete(found, key)
		}
	})},
	{"the caller's keys are sorted", checkBatch, answering(func(_ map[string][]byte, keys []string) { slices.Sort(keys) })},
	{"what was put is kept", checkInput, newSharing},
	{"what was put is changed", checkInput, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		defer clear(blob)
		return m.Put(ctx, key, blob)
	})},
	{"what is returned is kept", checkOutput, newSharing},
	{"blobs share a buffer", checkOutput, answering(func(found map[string][]byte, _ []string) {
		var buffer []byte
		for _, blob := range found {
			buffer = append(buffer, blob...)
		}
		from := 0
		for _, key := range slices.Sorted(maps.Keys(found)) {
			n := copy(buffer[from:], found[key])
			found[key] = buffer[from : from+n]
			from += n
		}
	})},
	{"Put returns too early", checkConcurrent, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		time.AfterFunc(100*time.Millisecond, func() { m.Put(context.WithoutCancel(ctx), key, bytes.Clone(blob)) })
		return nil
	})},
	{"a megabyte at most", checkLarge, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		return m.Put(ctx, key, blob[:min(len(blob), 1<<20)])
	})},
	{"Put overwrites", checkNoOverwrite, overwriting(nil)},
	{"Put overwrites and denies it", checkNoOverwrite, overwriting(tiered.ErrExists)},
	{"same bytes are taken for a success", checkNoOverwrite, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		found, err := Found(ctx, m, []string{key})
		if old, ok := found[key]; ok && bytes.Equal(old, blob) {
			return err
		}
		return m.Put(ctx, key, blob)
	})},
	{"look first, then store", checkOneWriterWins, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		if found, err := Found(ctx, m, []string{key}); err != nil || len(found) > 0 {
			return errors.Join(err, tiered.ErrExists)
		}
		time.Sleep(20 * time.Millisecond) // for the others to look as well
		_ = m.Delete(ctx, []string{key})
		return m.Put(ctx, key, blob)
	})},
	{"nobody wins", checkOneWriterWins, storing(func(*tiered.MemTier, context.Context, string, []byte) error { return tiered.ErrExists })},
	{"losing is a failure", checkOneWriterWins, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		if m.Put(ctx, key, blob) != nil {
			return errors.New("conflict")
		}
		return nil
	})},
	{"contexts are ignored", checkCancelledBefore, newSharing},
	{"contexts are ignored, as a cache", checkCacheCancelledBefore, newSharing},
	{"a cancelled Get is partial", checkCancelledDuring, func() tiered.Tier {
		return &broken{get: func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error) {
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
			found, _ := m.Get(ctx, keys)
			return found, nil
		}}
	}},
	{"cancellation has another name", checkCancelledDuring, func() tiered.Tier {
		return &broken{get: func(m *tiered.MemTier, ctx context.Context, keys []string) ([][]byte, error) {
			select {
			case <-ctx.Done():
				return nil, errors.New("request aborted")
			case <-time.After(30 * time.Millisecond):
			}
			return m.Get(ctx, keys)
		}}
	}},
	{"a cache cuts large blobs", checkCacheLarge, answering(func(found map[string][]byte, _ []string) {
		for key, blob := range found {
			found[key] = blob[:min(len(blob), 1<<20)]
		}
	})},
	{"a cache forgets all for a large blob", checkCacheLarge, storing(func(m *tiered.MemTier, ctx context.Context, key string, blob []byte) error {
		if len(blob) >= large {
			*m = tiered.MemTier{}
		}
		return m.Put(ctx, key, blob)
	})},
	{"a cache mixes blobs", checkCacheTakenKey, answering(func(found map[string][]byte, _ []string) {
		for key, blob := range found {
			found[key] = append(blob, blob...)
		}
	})},
}

// TestChecksCatch runs each check on a tier that breaks what it checks.
func TestChecksCatch(t *testing.T) {
	t.Parallel()
	for _, tc := range breakages {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if err := tc.check(t.Context(), tc.open()); err == nil {
				t.Error("the check passed")
			} else {
				t.Log(err)
			}
		})
	}
}

// TestLongestKey checks the length that tiered.Tier names.
func TestLongestKey(t *testing.T) {
	t.Parallel()
	if key := longestKey(); len(key) != 98 {
		t.Errorf("%q has %d bytes", key, len(key))
	}
}
