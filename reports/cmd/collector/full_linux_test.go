package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// TestFullDisk fills the disk that has the directory and the journal of a real
// collector. Posts are refused while there is no room, questions are answered, and
// after a kill everything that was acknowledged is stored once. It mounts a small
// file system, which needs root.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	data, filler := filepath.Join(disk, "data"), filepath.Join(disk, "filler")
	l := &loading{t: t, taken: make(map[string]bool), maybe: make(map[string]bool)}
	r := runServe(t, nil, "--data", data, "--tick", "100ms", "--window", "1s", "--journal-size", "32MiB")
	l.during(r.url, func() {
		time.Sleep(300 * time.Millisecond)
		fillDisk(t, filler)
		servertest.Eventually(t, "a post is refused", func() bool { return l.refusals() > 10 })
		resp, err := http.Get(r.url + "/api/report")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("a question on a full disk: %v, %v", resp, err)
		} else {
			resp.Body.Close()
		}
		r.says(t, "the journal takes no values")
		servertest.Eventually(t, "/readyz names the disk", func() bool {
			status, text := fetch(t, r.url+"/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(text, "journal: its disk fails, and reports are refused: no space left")
		})
		before := l.acknowledged()
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
		servertest.Eventually(t, "posts are taken again", func() bool { return l.acknowledged() > before+10 })
		r.says(t, "the journal takes values again")
		_ = r.cmd.Process.Kill()
		<-r.ended
	})
	if out, err := child("replay", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("replay: %v: %s", err, out)
	}
	l.check(data)
}

// fillDisk writes a file until the disk has no room.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	f := must1(os.Create(name))
	defer f.Close()
	for size := 1 << 20; size >= 4<<10; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

func (l *loading) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.taken)
}

// refusals returns how many posts were answered with another status than 200.
func (l *loading) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.posted - len(l.taken) - len(l.maybe)
}

// smallDisk returns the directory of a file system of 64 MiB, which goes when the test
// ends. Without root it skips the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	return disk
}
