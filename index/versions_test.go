package index_test

import (
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
)

func TestMemIndexVersions(t *testing.T) {
	t.Parallel()
	indextest.RunVersions(t, openMemIndex)
}

// TestVersionsForget writes more rows than a Versions remembers, while a write of one of
// them is under way: no version comes back, and the write is still known.
func TestVersionsForget(t *testing.T) {
	t.Parallel()
	var v index.Versions
	row := func(hour int64) index.Row { return index.Row{Tenant: "a", Hour: hour} }
	at := func(hour int64) (uint64, bool) { return v.Version("a", row(hour).Start(), row(hour).End()) }
	v.Begin(row(-7))
	seen := make(map[uint64]bool)
	for hour := range int64(40_000) {
		v.Begin(row(hour))
		if _, ok := at(hour); ok {
			t.Fatalf("hour %d: no write is under way", hour)
		}
		v.End(row(hour))
		version, ok := at(hour)
		if !ok || seen[version] {
			t.Fatalf("hour %d has version %d, %v", hour, version, ok)
		}
		seen[version] = true
	}
	if _, ok := at(-7); ok {
		t.Error("the write that began first is forgotten")
	}
	before, _ := at(3)
	v.End(row(-7))
	if _, ok := at(-7); !ok {
		t.Error("the write that has ended is still under way")
	}
	v.BeginAll()
	if _, ok := at(3); ok {
		t.Error("no write of all rows is under way")
	}
	v.EndAll()
	if now, ok := at(3); !ok || now == before {
		t.Errorf("version %d after a write of all rows, %d before", now, before)
	}
}
