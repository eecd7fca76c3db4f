package reports

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// TestShortcut checks that what a shortcut says is in live answers and nowhere else.
func TestShortcut(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.add(t, "a", cut("c1"), "")
	got := f.answer(t, "a")
	if got.Shortcut || containers(got) != 1 {
		t.Errorf("a shortcut alone: shortcut %v, %s", got.Shortcut, report.Summary(got))
	}
	f.add(t, "a", hosts("h2"), "")
	equal(t, f.answer(t, "a"), merged(t, cut("c1"), hosts("h2")))
	if n := containers(f.answer(t, "b")); n != 0 {
		t.Error("another tenant sees it")
	}
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	past, err := f.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil || containers(past) != 0 {
		t.Errorf("it is in a range: %v, %s", err, report.Summary(past))
	}
	blobs, err := f.store.Get(t.Context(), f.refs(t, "a"))
	if err != nil || len(blobs) != 1 || containers(blobs[0].Value) != 0 {
		t.Errorf("it is stored: %v, %d blobs", err, len(blobs))
	}
	earlier, err := f.Report(t.Context(), "a", noon.Add(-time.Second))
	if err != nil || containers(earlier) != 0 {
		t.Errorf("it is in an earlier window: %v", err)
	}
	for ago, want := range map[time.Duration]int{0: 1, time.Hour: 0} {
		to := noon.Add(time.Second - ago)
		if held, err := f.Held(t.Context(), "a", to.Add(-time.Minute), to); err != nil || len(held.Shortcuts) != want {
			t.Errorf("%v ago: %d shortcuts are held, %v, want %d", ago, len(held.Shortcuts), err, want)
		}
	}
}

// refs returns the tenant's stored blobs.
func (f *fixture) refs(t testing.TB, tenant string) (refs []blob.Ref) {
	t.Helper()
	entries, err := f.Collector.live.Entries(t.Context(), tenant, noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		refs = append(refs, e.Ref())
	}
	return refs
}

// TestUpgradedShortcut checks that what an old collector put into the cache is
// upgraded, and cut to what this one would take.
func TestUpgradedShortcut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bus, cache := new(reportstest.Bus), &tiered.MemTier{Overwrite: true}
		f := setup(t, func(o *Options) { o.Bus, o.ShortcutCache, o.MaxTopologyNodes = bus, cache, 1 })
		if err := f.Shortcuts().WaitOn("a", make(chan struct{}, 1)); err != nil {
			t.Fatal(err)
		}
		r := cut("c")
		r.Topologies[report.Pod].Nodes = []*report.Node{{ID: "p", Topology: "pod",
			Latest: report.ValuesOf(report.Latest{Key: "kubernetes_namespace", Timestamp: report.InstantOf(noon), Value: "default"})}}
		r.Topologies[report.Process].Nodes = []*report.Node{{ID: "1", Topology: "process"}, {ID: "2", Topology: "process"}}
		if err := cache.Put(t.Context(), index.RowAt("a", noon.UnixNano()).BlobKey(noon.UnixNano()), encode(t, r)); err != nil {
			t.Fatal(err)
		}
		bus.Say(t, "a", index.RowAt("a", noon.UnixNano()).BlobKey(noon.UnixNano()))
		defer func() {
			if err := f.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		got := f.answer(t, "a")
		if len(got.Topologies[report.Namespace].Nodes) != 1 || len(got.Topologies[report.Process].Nodes) != 0 {
			t.Errorf("live: %s", report.Summary(got))
		}
	})
}
