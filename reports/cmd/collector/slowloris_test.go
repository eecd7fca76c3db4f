package main

import (
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TestSlowloris opens ten thousand connections that send headers and bodies byte by byte, and reconnect when
// they are cut off. The collector uses at most 200 MB of memory, serves others, and answers with 408.
// Afterwards nothing of them is left.
func TestSlowloris(t *testing.T) {
	const most = 200e6
	c := startBuilt(t, "--tenant-header", remote.TenantHeader, "--client-timeout", "4s", "--tick", "500ms", "--window", "1s")
	other := &bystander{url: c.url, body: must1(wire.Codec{}.Encode(sample("bystander", 20)))}
	stop := other.begin()
	time.Sleep(time.Second)
	idle := c.most.Load()

	h := newHerd(t, strings.TrimPrefix(c.url, "http://"))
	for round := 0; round < 5 || h.left() > 0 && round < 30; round++ {
		h.dribble(round < 5) // later, connections that are cut off stay closed
	}
	stop()
	t.Logf("memory: %d MB before, %d MB more at most; %d came and were told %v; others took %v", idle/1e6, (c.most.Load()-idle)/1e6,
		h.came, h.told, other.slowest())

	if grew := c.most.Load() - idle; grew > most {
		t.Errorf("memory grew by %d bytes", grew)
	}
	if n := h.left(); n > 0 || h.told["408"] == 0 || h.told["503"] == 0 || h.told["200"] > 0 {
		t.Errorf("%d slow clients are left, the others were told %v", n, h.told)
	}
	other.check(t)
	c.calm(t)
	if code := c.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, c.said())
	}
}

// calm waits until nothing of the closed connections is left.
func (b *built) calm(t *testing.T) {
	t.Helper()
	for begun := time.Now(); b.metric(t, "go_goroutines") > 60 || b.metric(t, "process_open_fds") > 60; time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("%v goroutines and %v open files are left", b.metric(t, "go_goroutines"), b.metric(t, "process_open_fds"))
		}
	}
}
