package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/report"
)

var kills = flag.Int("kills", 30, "how often TestKillsUnderLoad kills a collector")

// loading posts reports to collectors that come and go, each with one host of
// its own, by which the report is found again.
type loading struct {
	t  *testing.T
	mu sync.Mutex // guards the fields below

	url    string
	posted int             // hosts given
	taken  map[string]bool // hosts whose posts were answered with 200
	maybe  map[string]bool // hosts whose posts got no answer
}

// post posts a new report.
func (l *loading) post(client *http.Client) {
	l.mu.Lock()
	host, url := fmt.Sprintf("host-%06d", l.posted), l.url
	l.posted++
	l.mu.Unlock()
	body := must1(stores.Blobs.Encode(oneHost(host)))
	req := must1(http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/api/report", bytes.NewReader(body)))
	req.Header.Set("Content-Type", "application/msgpack")
	req.Header.Set("Content-Encoding", "gzip")
	resp, err := client.Do(req)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.maybe[host] = true
		return
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		l.taken[host] = true
	}
}

// during posts with many clients while a function runs.
func (l *loading) during(url string, f func()) {
	l.url = url
	stop, clients := make(chan struct{}), sync.WaitGroup{}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for range 4 {
		clients.Go(func() {
			for client := (&http.Client{Transport: transport, Timeout: 10 * time.Second}); ; {
				select {
				case <-stop:
					return
				default:
					l.post(client)
				}
			}
		})
	}
	f()
	close(stop)
	clients.Wait()
}

// check counts the hosts in all stored reports of a directory.
func (l *loading) check(data string) {
	l.t.Helper()
	found := make(map[string]int)
	var counted uint64 // merges add up what was sampled, so that a report that was merged twice shows
	for _, r := range storedReports(l.t, data) {
		counted += uint64(r.Sampling.Count)
		for _, n := range r.Topologies[report.Host].Nodes {
			found[n.ID]++
		}
	}
	lost, twice := 0, 0
	for host := range l.taken {
		if found[host] == 0 {
			lost++
		}
	}
	for host, n := range found {
		if n > 1 {
			twice++
		}
		if !l.taken[host] && !l.maybe[host] {
			l.t.Errorf("%s was refused and is stored", host)
		}
	}
	l.t.Logf("%d acknowledged, %d without an answer, %d stored, %d lost, %d stored twice", len(l.taken), len(l.maybe), len(found), lost, twice)
	if lost+twice > 0 || len(l.taken) == 0 || counted != uint64(len(found)) {
		l.t.Errorf("%d lost, %d stored twice, %d of %d merged", lost, twice, counted, len(found))
	}
}

// storedReports returns every stored report of the default tenant, one by one.
func storedReports(t *testing.T, data string) []*report.Report {
	t.Helper()
	return storedIn(t, &stores.Place{Data: data})
}

func storedIn(t *testing.T, place *stores.Place) (all []*report.Report) {
	t.Helper()
	s := must1(place.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(os.Stderr), Existing: true}))
	defer s.Close()
	for e, err := range s.Entries(t.Context(), "", 0, time.Now().Add(2*time.Hour).UnixNano()) {
		if err != nil {
			t.Fatal(err)
		}
		blobs := must1(s.Authority.Get(t.Context(), []string{e.Key}))
		all = append(all, must1(stores.Blobs.Decode(blobs[0])))
	}
	return all
}

// oneHost returns a report of one host.
func oneHost(id string) *report.Report {
	r := sample(strings.TrimPrefix(id, "host-"), 1)
	r.ID, r.Sampling = id, report.Sampling{Count: 1, Total: 1}
	r.Topologies[report.Host].Nodes[0].ID = id
	return r
}

// TestKillsUnderLoad kills a collector on an embedded store with SIGKILL, again
// and again at random moments, while clients post. Each acknowledged report must
// be stored once.
func TestKillsUnderLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	l := &loading{t: t, taken: make(map[string]bool), maybe: make(map[string]bool)}
	for range *kills {
		r := runServe(t, nil, "--data", data, "--tick", "100ms", "--window", "1s")
		l.during(r.url, func() {
			time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
			_ = r.cmd.Process.Kill()
			<-r.ended
		})
	}
	if out, err := child("replay", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	l.check(data)
}

// TestKillsWhileTheStoreIsAway kills collectors whose table and bucket do not
// answer. What their journal holds is then stored in a directory.
func TestKillsWhileTheStoreIsAway(t *testing.T) {
	dir := t.TempDir()
	data, kept := filepath.Join(dir, "data"), filepath.Join(dir, "kept")
	if s, err := stores.OpenDirectory(data, nil); err != nil || s.Close() != nil {
		t.Fatal("no directory to store to", err)
	}
	l := &loading{t: t, taken: make(map[string]bool), maybe: make(map[string]bool)}
	for range max(2, *kills/10) {
		r := runServe(t, nil, "--index", "dynamodb://k:s@127.0.0.1:9/table", "--blobs", "s3://k:s@127.0.0.1:9/bucket",
			"--journal", kept, "--tick", "100ms", "--window", "300ms")
		l.during(r.url, func() {
			time.Sleep(time.Duration(500+rand.IntN(1000)) * time.Millisecond)
			_ = r.cmd.Process.Kill()
			<-r.ended
		})
	}
	if out, err := child("replay", "--journal", kept, "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	l.check(data)
	if out, err := child("replay", "--journal", kept, "--data", data).CombinedOutput(); err != nil || !strings.Contains(string(out), "stored 0 values") {
		t.Errorf("replay again: %v: %s", err, out)
	}
}
