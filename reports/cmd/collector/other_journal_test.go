package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

// TestAnotherJournal kills a collector on an embedded store, whose journal then holds what the store lacks, and
// starts it with another journal. It says so, and its answers do, until the first journal was delivered.
func TestAnotherJournal(t *testing.T) {
	t.Parallel()
	dir, first, second := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	serve := func(args ...string) *served {
		t.Helper()
		return serveAsProcess(t, append([]string{"--data", dir, "--tick", "100ms", "--window", "1s"}, args...)...)
	}
	lacks := func(s *served) (missing, said string) {
		t.Helper()
		for !strings.Contains(s.said(), "msg=serving") { // which it logs after what it found
			time.Sleep(time.Millisecond)
		}
		resp := must1(http.Get(s.url + "/api/report?start=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)))
		defer resp.Body.Close()
		return resp.Header.Get("Timeblob-Missing"), s.said()
	}
	s := serve("--journal", first)
	if status, answer := postHost(t, s.url, "host-000001"); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	s.kill()
	if r := collect(t, "query", "--data", dir, "--at", "now"); !strings.Contains(r.stderr, "warning: "+first+" holds reports") {
		t.Errorf("a query does not warn of the journal: %s", r.stderr)
	}

	s = serve("--journal", second)
	_, ready := fetch(t, s.url+"/readyz")
	if missing, said := lacks(s); !strings.Contains(said, "last used with another journal") || !strings.Contains(said, first) || !strings.Contains(missing, "journal") ||
		!strings.Contains(ready, "note: journal: is not the one that the store was last used with") {
		t.Errorf("lacks %q, ready %q, log: %s", missing, ready, said)
	}
	if code := s.stop(); code != 0 {
		t.Error(s.said())
	}
	if said := must(t, "replay", "--data", dir, "--journal", first); !strings.Contains(said, "stored 1 value") {
		t.Errorf("the replay said %s", said)
	}

	s = serve() // with a third one, its own, after an orderly stop
	if missing, said := lacks(s); strings.Contains(said, "another journal") || missing != "" {
		t.Errorf("after an orderly stop: lacks %q, log: %s", missing, said)
	}
	s.kill()
	s = serve()
	if missing, said := lacks(s); strings.Contains(said, "another journal") || missing != "" {
		t.Errorf("with the same journal: lacks %q, log: %s", missing, said)
	}
	s.kill()
	if err := os.RemoveAll(filepath.Join(dir, journalName)); err != nil {
		t.Fatal(err)
	}
	if r := collect(t, "query", "--data", dir, "--at", "now"); !strings.Contains(r.stderr, "is gone or cannot be read") {
		t.Errorf("a query does not warn of the journal that was removed: %s", r.stderr)
	}
	s = serve()
	if missing, said := lacks(s); !strings.Contains(said, "another journal") || !strings.Contains(missing, "journal") {
		t.Errorf("the journal was removed: lacks %q, log: %s", missing, said)
	}
}

// TestWrongDirectories gives commands directories that are none of a journal, or the one that they would damage.
func TestWrongDirectories(t *testing.T) {
	t.Parallel()
	dir, other := filepath.Join(t.TempDir(), "data"), t.TempDir()
	must(t, "import", "--data", dir, write(t, filepath.Join(t.TempDir(), "1700000000000000000.json"), sample("one", 1)))
	for _, c := range []struct {
		want string
		args []string
	}{
		{"it is the directory of an embedded store: give a directory of its own", []string{"serve", "--listen", "127.0.0.1:0", "--data", dir, "--journal", dir}},
		{"it is no journal", []string{"replay", "--data", dir, "--journal", other}},
		{"it is no journal", []string{"replay", "--data", dir, "--journal", dir}},
		{"--journal: stat", []string{"replay", "--data", dir}},
		{"the new directory must not be inside the damaged one", []string{"repair", "--data", dir, "--to", filepath.Join(dir, "x")}},
		{"the new directory must not be inside the damaged one", []string{"repair", "--data", dir, "--to", dir}},
		{"--journal-size 1: must be at least 32MiB", []string{"serve", "--listen", "127.0.0.1:0", "--data", dir, "--journal-size", "1"}},
	} {
		r := collect(t, c.args...)
		if r.code == 0 || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, "warning") {
			t.Errorf("%v: exit code %d: %s%s", c.args, r.code, r.stdout, r.stderr)
		}
	}
	if left, err := os.ReadDir(other); err != nil || len(left) > 0 {
		t.Errorf("a replay of no journal has made %v, %v", left, err)
	}
}

// TestRepeatedAfterAReplay kills a collector, replays its journal, and starts it again. A post that the client repeats
// counts once.
func TestRepeatedAfterAReplay(t *testing.T) {
	t.Parallel()
	args := []string{"--data", filepath.Join(t.TempDir(), "data"), "--window", "5m"}
	post := func() *served {
		t.Helper()
		s := serveAsProcess(t, args...)
		resp := must1(http.Post(s.url+"/api/report", "application/json", strings.NewReader(`{"ID":"one","Sampling":{"Count":1,"Total":1}}`)))
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		return s
	}
	post().kill()
	if said := must(t, append([]string{"replay"}, args[:2]...)...); !strings.Contains(said, "stored 1 value") {
		t.Fatal(said)
	}
	s := post()
	if _, answer := fetch(t, s.url+"/api/report"); !strings.Contains(answer, `"Sampling":{"Count":1,`) {
		t.Errorf("the answer is %.300s", answer)
	}
}

// TestAnOlderJournal puts an older copy of a journal in the journal's place, after a kill and after an orderly stop, and
// replays a second copy. Each time that is told, since reports may count twice or be missing, and once.
func TestAnOlderJournal(t *testing.T) {
	t.Parallel()
	dir, copied := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "copied")
	held := filepath.Join(dir, journalName)
	serve := func() *served {
		t.Helper()
		return serveAsProcess(t, "--data", dir, "--tick", "100ms", "--window", "1s")
	}
	putBack := func() {
		t.Helper()
		if err := errors.Join(os.RemoveAll(held), os.CopyFS(held, os.DirFS(copied))); err != nil {
			t.Fatal(err)
		}
	}
	s := serve()
	if status, answer := postHost(t, s.url, "host-000001"); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	s.kill()
	if err := os.CopyFS(copied, os.DirFS(held)); err != nil {
		t.Fatal(err)
	}

	s = serve() // which stores the report
	if isOlder(t, s) {
		t.Errorf("a start after a kill says that its journal is older: %s", s.said())
	}
	if code := s.stop(); code != 0 {
		t.Error(s.said())
	}
	putBack()
	s = serve()
	if !isOlder(t, s) {
		t.Errorf("an older journal is not told after a stop: %s", s.said())
	}
	s.kill()
	s = serve()
	if isOlder(t, s) {
		t.Errorf("an older journal is told twice: %s", s.said())
	}
	if code := s.stop(); code != 0 {
		t.Error(s.said())
	}
	if r := collect(t, "replay", "--data", dir, "--journal", copied); !strings.Contains(r.stderr, "the store took later records") {
		t.Errorf("the replay of a copy said %s%s", r.stdout, r.stderr)
	}
	s = serve()
	if isOlder(t, s) { // the copy has the same id and is the journal that was used last, which was shorter
		t.Errorf("the journal itself is told after a replay of its copy: %s", s.said())
	}
}

// TestTakenAtSyncs notes at a sync what the store took, if the last note is old enough.
func TestTakenAtSyncs(t *testing.T) {
	t.Parallel()
	log, err := journal.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var notes []uint64
	store := &stores.Store{Sync: func(context.Context) error { return nil }, Took: func(_ string, last uint64) (uint64, error) {
		notes = append(notes, last)
		return 0, nil
	}}
	j := journaling{open: log}
	j.takes(store, slog.New(slog.DiscardHandler))
	for _, age := range []time.Duration{0, takenEvery, 0} {
		if _, err := log.Append(t.Context(), 1, nil, []byte("report")); err != nil {
			t.Fatal(err)
		}
		if j.took.last = j.took.last.Add(-age); store.Sync(t.Context()) != nil {
			t.Fatal("no sync")
		}
	}
	if !slices.Equal(notes, []uint64{0, 2}) {
		t.Errorf("noted %d", notes)
	}
}

// isOlder reports whether a collector says that its journal is an older copy. It says so in its log, answers and readiness, or nowhere.
func isOlder(t *testing.T, s *served) bool {
	t.Helper()
	resp := must1(http.Get(s.url + "/api/report?start=" + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)))
	defer resp.Body.Close()
	_, ready := fetch(t, s.url+"/readyz")
	missing, noted := strings.Contains(resp.Header.Get("Timeblob-Missing"), "journal"), strings.Contains(ready, "is an older copy")
	if logged := strings.Contains(s.said(), "the store took later records"); missing != noted || noted != logged {
		t.Errorf("missing %v, a note %v, logged %v: %s", missing, noted, logged, s.said())
	}
	return noted
}
