package reports

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report"
)

// postedBlobs returns reports that are kept as they come, that are not, and that are refused.
func postedBlobs(t *testing.T) map[string][]byte {
	t.Helper()
	unnamed, nameless, long, said := hosts("h1"), hosts("h2"), hosts("h3"), container("c1", "h1")
	unnamed.Topologies[report.Host].Nodes[0].ID = ""
	nameless.ID = ""
	long.Window = -1
	said.Shortcut, said.TS = true, noon
	good := encode(t, hosts("h4"))
	all := map[string][]byte{"no gzip": []byte("x"), "nothing": nil, "cut": good[:len(good)-3], "trailing": append(bytes.Clone(good), "more"...),
		"damaged": append(bytes.Clone(good[:len(good)-8]), make([]byte, 8)...), "a node without an ID": encode(t, unnamed),
		"a report without an ID": encode(t, nameless), "a negative window": encode(t, long), "a shortcut": encode(t, said),
		"many hosts": encode(t, hosts("a", "b", "c", "d"))}
	for _, pattern := range []string{"k8s-node/*.msgpack.gz", "hosts/*/*.msgpack.gz", "legacy/*.msgpack.gz"} {
		files := goldentest.Files(t, pattern)
		for _, file := range files[:min(len(files), 8)] {
			all[file] = goldentest.Read(t, file)
		}
	}
	return all
}

// addedTo adds a blob and two other reports to a tick. It returns the error of the blob, and what is stored.
func addedTo(t *testing.T, maxNodes int, blob []byte, last bool) (refused string, stored *report.Report) {
	t.Helper()
	f := setup(t, func(o *Options) { o.MaxTopologyNodes = maxNodes })
	add := func(blob []byte) error { return f.AddBlob(t.Context(), "a", blob, 64<<20, Origin{}) }
	if !last {
		refused = fmt.Sprint(add(blob))
	}
	for _, host := range []string{"f1", "f2"} {
		if err := add(encode(t, hosts(host))); err != nil {
			t.Fatal(err)
		}
	}
	if last {
		refused = fmt.Sprint(add(blob))
	}
	if err := f.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored, err := f.Range(t.Context(), "a", noon.Add(-time.Hour), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return refused, stored
}

// TestBusyTicksTakeWhatOthersTake posts each blob to a tick where it is the first, and is examined, and to a tick that has
// reports already, where it is decoded at once. Both must refuse the same for the same reason, and store the same.
func TestBusyTicksTakeWhatOthersTake(t *testing.T) {
	t.Parallel()
	for _, maxNodes := range []int{0, 3, 40} {
		refused := 0
		for name, blob := range postedBlobs(t) {
			alone, first := addedTo(t, maxNodes, blob, false)
			busy, last := addedTo(t, maxNodes, blob, true)
			if alone != busy {
				t.Errorf("%s, %d nodes: as the first: %s, as the last: %s", name, maxNodes, alone, busy)
			}
			if alone != "<nil>" {
				refused++
			}
			equal(t, last, first)
		}
		if refused < 5 {
			t.Errorf("%d blobs are refused", refused)
		}
	}
}
