package tlsfiles

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlstest"
)

func (i *identity) shown(t *testing.T) int64 {
	t.Helper()
	config := must1(i.forClient(nil))
	return must1(x509.ParseCertificate(config.Certificates[0].Certificate[0])).SerialNumber.Int64()
}

func TestTLSFilesChange(t *testing.T) {
	t.Parallel()
	ca, stderr, now := tlstest.NewAuthority(t), &bytes.Buffer{}, time.Now()
	dir := t.TempDir()
	files := &Server{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), clientCA: ca.File}
	first := ca.Issue(t, files.cert, files.key)
	i := &identity{files: files, log: slog.New(slog.NewTextHandler(stderr, nil)), now: func() time.Time { return now }}
	if err := i.read(); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, n int64, lines int) {
		t.Helper()
		if got := i.shown(t); got != n {
			t.Errorf("%s: certificate %d, want %d", what, got, n)
		}
		if got := strings.Count(stderr.String(), "\n"); got != lines {
			t.Errorf("%s: %d lines logged, want %d: %s", what, got, lines, stderr)
		}
	}
	second := ca.Issue(t, files.cert, files.key)
	now = now.Add(recheck - 1)
	expect("too early to look", first, 0)
	now = now.Add(1)
	expect("changed", second, 1)
	whole := must1(os.ReadFile(files.cert))
	third := filepath.Join(dir, "third")
	n := ca.Issue(t, third, files.key) // the key of another certificate
	for range 3 {
		now = now.Add(recheck)
		expect("half changed", second, 2)
	}
	if err := os.Rename(third, files.cert); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("wholly changed", n, 3)
	if err := os.Remove(files.cert); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("gone", n, 4)
	if err := os.WriteFile(files.cert, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("cut off", n, 5)
	last := ca.Issue(t, files.cert, files.key)
	now = now.Add(recheck)
	expect("well again", last, 6)
	before := must1(i.forClient(nil)).ClientCAs
	tlstest.NewAuthority(t).Write(t, ca.File, "CERTIFICATE", tlstest.NewAuthority(t).Cert.Raw)
	now = now.Add(recheck)
	expect("other clients", last, 7)
	if must1(i.forClient(nil)).ClientCAs.Equal(before) {
		t.Error("the authority of clients is the one before")
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
