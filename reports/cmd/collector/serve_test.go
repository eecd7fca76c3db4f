package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/tiered"
)

// brokenStore refuses every commit.
type brokenStore struct{ index.Committer }

func (brokenStore) Commit(context.Context, index.Row, index.Entry, []byte) error {
	return errors.New("disk full")
}

// newServer returns a server with default flags over a store.
func newServer(t *testing.T, s *stores.Store, args ...string) *server {
	t.Helper()
	srv := &server{}
	f := cli.NewFlags("serve")
	srv.defineStore(f)
	srv.defineHTTP(f)
	srv.role = defineRole(f)
	srv.tenancy = defineTenants(f)
	srv.logging = telemetry.DefineLogging(f)
	if _, err := f.ParseArgs(args, func(string) (string, bool) { return "", false }); err != nil {
		t.Fatal(err)
	}
	srv.store, srv.log = s, telemetry.Warnings(&buffer{})
	if srv.journal.dir != "" {
		if err := srv.openJournal(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.journal.close() })
	}
	if err := srv.wire(); err != nil {
		t.Fatal(err)
	}
	return srv
}

// The command names what it could not store in time, and fails.
func TestServeNamesWhatItLoses(t *testing.T) {
	t.Parallel()
	s := newServer(t, &stores.Store{Index: index.NewMemIndex(), Authority: new(tiered.MemTier), Committer: brokenStore{}},
		"--shutdown-timeout", "2s")
	for _, tenant := range []string{"a", "b"} {
		if err := s.runner.(*reports.Collector).Add(t.Context(), tenant, sample("one", 1), reports.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stderr := &buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	err = s.serve(ctx, &cli.Process{Stderr: terminal.NewWriter(stderr)}, listener)
	if err == nil || err.Error() != "2 values lost" {
		t.Errorf("error %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `collector: not stored: tenant "`) || !strings.HasSuffix(lines[1], "disk full") {
		t.Errorf("said %q", lines)
	}
}

// TestServeLeavesNoStoreBehind checks that a server that cannot listen, or cannot read its certificate, creates no directory.
func TestServeLeavesNoStoreBehind(t *testing.T) {
	t.Parallel()
	listener := must1(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	taken, dir := listener.Addr().String(), t.TempDir()
	for want, args := range map[string][]string{
		"give --listen another port":       {"--listen", taken},
		"give --debug-listen another port": {"--listen", "127.0.0.1:0", "--debug-listen", taken},
		"--tls-cert /gone":                 {"--listen", "127.0.0.1:0", "--tls-cert", "/gone", "--tls-key", "/gone"},
		"tenants file /gone":               {"--listen", "127.0.0.1:0", "--tenants", "/gone"},
	} {
		r := collect(t, append([]string{"serve", "--data", filepath.Join(dir, "data")}, args...)...)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %s", args, r.code, r.stderr)
		}
		if made := must1(os.ReadDir(dir)); len(made) > 0 {
			t.Errorf("%s: made %v", args, made)
		}
	}
}
