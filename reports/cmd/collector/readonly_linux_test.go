package main

import (
	"io"
	"net/http"
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
