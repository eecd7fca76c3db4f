package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/racetest"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/report"
)

// TestALargeTickSurvivesKills posts seven reports of 15 MB in one tick, which make a
// larger blob than a store takes, and kills the collector before the tick ends and
// while it is stored. At the end SIGTERM stores everything: each report once, in
// several entries. Under the race detector the reports have 500 kB and fit into one
// entry: 15 MB would take minutes.
func TestALargeTickSurvivesKills(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		data := filepath.Join(t.TempDir(), "data")
		testLargeTick(t, &stores.Place{Data: data}, "--data", data)
	})
	t.Run("servers", func(t *testing.T) {
		t.Parallel()
		index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
		flags := append(create(t, index, blobs), "--alone", "--journal", filepath.Join(t.TempDir(), "journal"))
		testLargeTick(t, must1(stores.Parse("--to", index+","+blobs)), flags...)
	})
}

func testLargeTick(t *testing.T, place *stores.Place, flags ...string) {
	serve := func(tick string) *running {
		return runServe(t, nil, append([]string{"--tick", tick, "--window", "1h", "--shutdown-timeout", "2m"}, flags...)...)
	}
	r, reports := serve("1h"), len(largeReports())
	for _, body := range largeReports() {
		postLarge(t, r.url, body)
	}
	kill := func(after time.Duration) {
		time.Sleep(after)
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
	kill(0)
	for _, after := range []time.Duration{100, 500, 1500} {
		r = serve("1h")
		kill(after * time.Millisecond)
	}
	r = serve("1h")
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if <-r.ended; r.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("the exit code is %d: %s", r.cmd.ProcessState.ExitCode(), r.stderr)
	}
	all := storedIn(t, place)
	var counted uint64
	found := make(map[string]bool)
	for _, stored := range all {
		counted += uint64(stored.Sampling.Count)
		for _, n := range stored.Topologies[report.Host].Nodes {
			found[n.ID] = true
		}
	}
	if len(found) != reports || counted != uint64(reports) || len(all) < 2 && !racetest.Enabled {
		t.Errorf("%d of %d reports are stored, %d times, in %d entries", len(found), reports, counted, len(all))
	}
}

// largeReports are seven reports of 15 MB, or of 500 kB under the race detector. They are made once.
var largeReports = sync.OnceValue(func() (bodies [][]byte) {
	rng, size := rand.New(rand.NewPCG(1, 2)), 15_000_000
	if racetest.Enabled {
		size = 500_000
	}
	for i := range 7 {
		bodies = append(bodies, largeReport(rng, fmt.Sprintf("host-%d", i), size))
	}
	return bodies
})

// largeReport returns the blob of a report of about so many bytes, which do not
// shrink.
func largeReport(rng *rand.Rand, host string, size int) []byte {
	r := oneHost(host)
	noise := make([]byte, size*3/4)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	n := r.Topologies[report.Host].Nodes[0]
	n.Latest = report.ValuesOf(report.Latest{Key: "noise", Timestamp: report.InstantOf(time.Unix(1_700_000_000, 0)), Value: base64.StdEncoding.EncodeToString(noise)})
	return must1(stores.Blobs.Encode(r))
}

func postLarge(t *testing.T, url string, body []byte) {
	t.Helper()
	req := must1(http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/report", bytes.NewReader(body)))
	req.Header.Set("Content-Type", "application/msgpack")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatalf("a post of %d bytes: status %d", len(body), resp.StatusCode)
	}
}
