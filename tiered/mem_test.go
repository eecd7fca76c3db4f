package tiered_test

import (
	"testing"

	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func TestMemTierConformance(t *testing.T) {
	t.Parallel()
	open := func(*testing.T) tiered.Tier { return new(tiered.MemTier) }
	tiertest.Run(t, open)
	tiertest.RunLister(t, open)
}

func TestMemTierConformanceAsCache(t *testing.T) {
	t.Parallel()
	tiertest.RunCache(t, func(*testing.T) tiered.Tier { return &tiered.MemTier{Overwrite: true} })
}

func BenchmarkMemTier(b *testing.B) {
	tiertest.RunBenchmarks(b, func(*testing.B) tiered.Tier { return new(tiered.MemTier) })
}

func TestMemTierCounts(t *testing.T) {
	t.Parallel()
	m := &tiered.MemTier{Overwrite: true}
	for _, blob := range []string{"12345", "123", "1234567"} {
		if err := m.Put(t.Context(), "a", []byte(blob)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Put(t.Context(), "b", []byte("12")); err != nil {
		t.Fatal(err)
	}
	if m.Len() != 2 || m.Bytes() != 9 {
		t.Fatalf("%d blobs of %d bytes, want 2 of 9", m.Len(), m.Bytes())
	}
	if err := m.Delete(t.Context(), []string{"a", "unknown"}); err != nil {
		t.Fatal(err)
	}
	if m.Len() != 1 || m.Bytes() != 2 {
		t.Fatalf("after Delete %d blobs of %d bytes, want 1 of 2", m.Len(), m.Bytes())
	}
}
