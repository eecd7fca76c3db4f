package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/health"
	"github.com/timeblob/timeblob/tiered"
)

// fillJournal appends records to a journal until it takes no more.
func fillJournal(t *testing.T, j *journal.Journal) {
	t.Helper()
	for size := 1 << 20; size > 0; size >>= 5 {
		var err error
		for err == nil {
			_, err = j.Append(t.Context(), 1, nil, make([]byte, size))
		}
		if _, full := errors.AsType[*journal.FullError](err); !full {
			t.Fatal(err)
		}
	}
}

// TestServeWithAFullJournal checks that a collector whose journal is full is not
// ready, refuses reports, and at its end says that the journal keeps what it could
// not store.
func TestServeWithAFullJournal(t *testing.T) {
	t.Parallel()
	s := newServer(t, &stores.Store{Index: index.NewMemIndex(), Authority: new(tiered.MemTier), Committer: brokenStore{}},
		"--journal", t.TempDir(), "--journal-size", "32MiB", "--journal-sync", "off", "--shutdown-timeout", "2s")
	checks := s.journal.checks()
	if reasons, notes := health.New(checks, s.log).Ask(t.Context()); len(reasons)+len(notes) > 0 {
		t.Errorf("an empty journal: %q, %q", reasons, notes)
	}
	c := s.runner.(*reports.Collector)
	if err := c.Add(t.Context(), "", sample("one", 1), reports.Origin{}); err != nil {
		t.Fatal(err)
	}
	fillJournal(t, s.journal.open)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "journal: is full: it has ") {
		t.Errorf("/readyz: %d %s", w.Code, w.Body)
	}
	post := httptest.NewRequest("POST", "/api/report", bytes.NewReader([]byte("{}")))
	post.Header.Set("Content-Type", "application/json")
	w = httptest.NewRecorder()
	s.handler.ServeHTTP(w, post)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "journal is full") {
		t.Errorf("a post: %d %v %s", w.Code, w.Header(), w.Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stderr := &buffer{}
	err := s.serve(ctx, &cli.Process{Stderr: terminal.NewWriter(stderr)}, must1(net.Listen("tcp", "127.0.0.1:0")))
	if err == nil || err.Error() != "1 value not stored: the journal keeps them for the next start" {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(stderr.String(), `not stored: tenant ""`) {
		t.Errorf("said %s", stderr)
	}
}

// TestDamagedJournalIsANote checks that a collector with a damaged journal is ready,
// and says that its journal is damaged.
func TestDamagedJournalIsANote(t *testing.T) {
	t.Parallel()
	dir, size := t.TempDir(), cli.Size(32<<20)
	open := func() *journaling {
		j := &journaling{dir: dir, size: &size}
		if err := j.start(&stores.Place{}, 0, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := open()
	blob := bytes.Repeat([]byte("x"), 1000)
	for range 3 {
		must1(j.open.Append(t.Context(), 1, nil, blob))
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for _, file := range must1(filepath.Glob(filepath.Join(dir, "*"))) {
		data := must1(os.ReadFile(file))
		if at := bytes.Index(data, blob); at >= 0 {
			data[at] ^= 1
			damaged++
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	j = open()
	defer j.close()
	reasons, notes := health.New(j.checks(), slog.New(slog.DiscardHandler)).Ask(t.Context())
	if damaged != 1 || len(reasons) > 0 || len(notes) != 1 || notes[0] != "note: journal: is damaged: the collector's log says where" {
		t.Errorf("%d files damaged: %q, %q", damaged, reasons, notes)
	}
}

// TestCommandsWarnOfAJournal kills a collector that has stored nothing yet. Commands that read the directory then say that its
// journal holds reports, until they are replayed.
func TestCommandsWarnOfAJournal(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	r := runServe(t, nil, "--data", data, "--tick", "1m", "--window", "1m")
	if status, answer := postHost(t, r.url, "host-000001"); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	warns := func(want bool) {
		t.Helper()
		for _, args := range [][]string{
			{"query", "--data", data, "--start", "-1h", "--end", "+1h"},
			{"check", data},
			{"copy", "--from", data, "--to", filepath.Join(t.TempDir(), "copy")},
			{"backup", "--data", data, "--to", filepath.Join(t.TempDir(), "backup")},
		} {
			if got := collect(t, args...); got.code != 0 || strings.Contains(got.stderr, "run collector replay") != want {
				t.Errorf("%v: exit %d, says %q, want a warning: %v", args, got.code, got.stderr, want)
			}
		}
	}
	warns(true)
	must(t, "replay", "--data", data)
	warns(false)
	large := filepath.Join(data, journalName, "00000000000000ff.log")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 2*countedJournal)); err != nil {
		t.Fatal(err)
	}
	warns(true)
}

// TestAJournalThatIsRemoved removes the files of an open journal. The collector is not ready, and does not say that the journal keeps
// anything for the next start.
func TestAJournalThatIsRemoved(t *testing.T) {
	t.Parallel()
	dir, size := filepath.Join(t.TempDir(), "journal"), cli.Size(32<<20)
	j := &journaling{dir: dir, size: &size}
	if err := j.start(&stores.Place{}, 0, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer j.close()
	must1(j.open.Append(t.Context(), 1, nil, []byte("x")))
	if said := j.keeps(); !strings.Contains(said, "the journal keeps them") {
		t.Errorf("it says %q", said)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return j.open.Stats().ReadOnly != nil }, "the journal does not notice")
	if said := j.keeps(); !strings.Contains(said, "the files of the journal were removed") {
		t.Errorf("it says %q", said)
	}
	if reasons, _ := health.New(j.checks(), slog.New(slog.DiscardHandler)).Ask(t.Context()); len(reasons) != 1 || !strings.Contains(reasons[0], "until the collector is started again") {
		t.Errorf("ready: %q", reasons)
	}
}
