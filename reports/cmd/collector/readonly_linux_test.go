package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// TestReadOnlyDisk starts a collector whose directory and journal are on a disk that
// became read-only while values waited in the journal. Questions are answered with
// all that was acknowledged, and posts are refused with the reason. When the disk is
// writable, posts are taken without a restart, and what waits is stored. It mounts a small file system, which needs
// root.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	data := filepath.Join(disk, "data")
	l := &loading{t: t, taken: make(map[string]bool), maybe: make(map[string]bool)}
	r := runServe(t, nil, "--data", data, "--tick", "100ms", "--window", "1s", "--journal-size", "32MiB")
	l.during(r.url, func() {
		servertest.Eventually(t, "posts are taken", func() bool { return l.acknowledged() > 20 })
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	r = runServe(t, nil, "--data", data, "--tick", "100ms", "--window", "1s", "--journal-size", "32MiB")
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	ask := func(method, path, body string) (int, string) {
		req := must1(http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body)))
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, string(must1(io.ReadAll(resp.Body)))
	}
	status, answer := ask(http.MethodGet, "/api/report?start="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "")
	for host := range l.taken {
		if !strings.Contains(answer, host) {
			t.Fatalf("%s is not in the answer with status %d: %.300s", host, status, answer)
		}
	}
	if status, answer := ask(http.MethodPost, "/api/report", "{}"); status != http.StatusServiceUnavailable || !strings.Contains(answer, "read-only") {
		t.Errorf("a post: status %d: %s", status, answer)
	}
	if status, answer := ask(http.MethodGet, "/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(answer, "read-only") {
		t.Errorf("ready: status %d: %s", status, answer)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "posts are taken again", func() bool {
		status, _ := ask(http.MethodPost, "/api/report", "{}")
		return status == http.StatusOK
	})
	servertest.Eventually(t, "the collector is ready", func() bool {
		status, _ := ask(http.MethodGet, "/readyz", "")
		return status == http.StatusOK
	})
	_ = r.cmd.Process.Kill()
	<-r.ended
	if out, err := child("replay", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	l.check(data)
}

// TestAJournalThatNeedsARestart gives the newest segment of a journal a wrong name, and starts the collector on a read-only disk. It
// says that it must be started again, also when the disk takes writes. The next start takes posts. It mounts a small file
// system, which needs root.
func TestAJournalThatNeedsARestart(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	args := []string{"--data", filepath.Join(disk, "data"), "--tick", "100ms", "--window", "1s", "--journal-size", "32MiB"}
	r := runServe(t, nil, args...)
	if status, answer := postHost(t, r.url, "host-000001"); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	segments := must1(filepath.Glob(filepath.Join(disk, "data", "journal", "*.log")))
	if err := os.Rename(segments[len(segments)-1], filepath.Join(disk, "data", "journal", "00000000000000ff.log")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	r = runServe(t, nil, args...)
	said := func() string { _, text := fetch(t, r.url+"/readyz"); return text }
	const again = "journal: takes no reports until the collector is started again: "
	servertest.Eventually(t, "it says that it must be started again", func() bool { return strings.Contains(said(), again) })
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if text := said(); !strings.Contains(text, again) {
		t.Errorf("when the disk takes writes: %s", text)
	}
	if status, answer := postHost(t, r.url, "host-000002"); status != http.StatusServiceUnavailable || !strings.Contains(answer, "open the journal again") {
		t.Errorf("a post: %d %s", status, answer)
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	r = runServe(t, nil, args...)
	if status, answer := postHost(t, r.url, "host-000002"); status != http.StatusOK {
		t.Errorf("a post after a start: %d %s", status, answer)
	}
	r.signal()
	if code, _ := r.end(t); code != 0 {
		t.Errorf("exit code %d: %s", code, r.stderr)
	}
	if found := storedReports(t, args[1]); len(found) != 2 {
		t.Errorf("%d reports are stored, want 2", len(found))
	}
}
