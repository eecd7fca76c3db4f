//go:build unix

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var setClocks = flag.Bool("clock", false, "run TestClockIsSet, which builds the command and the standard library with a clock that a signal sets: about two minutes")

// setBySignal has time.Now, and nothing that counts time by the monotonic clock, jump an hour at SIGUSR1 and back at SIGUSR2.
const setBySignal = `package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

func init() {
	set := make(chan os.Signal, 1)
	signal.Notify(set, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range set {
			if s == syscall.SIGUSR1 {
				time.SetBy(time.Hour)
			} else {
				time.SetBy(-time.Hour)
			}
		}
	}()
}
`

const settableClock = `package time

import "sync/atomic"

var setBy atomic.Int64

func SetBy(d Duration) { setBy.Store(int64(d / Second)) }
`

// buildWithClock builds the command with a clock that signals set.
func buildWithClock(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	root := strings.TrimSpace(string(must1(exec.Command("go", "env", "GOROOT").Output())))
	clock := filepath.Join(root, "src", "time", "time.go")
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	text := string(must1(os.ReadFile(clock)))
	if strings.Count(text, now) != 1 {
		t.Fatalf("%s has another time.Now than this test knows", runtime.Version())
	}
	here := must1(filepath.Abs("."))
	files := map[string]string{
		clock: strings.Replace(text, now, now+"\tsec += setBy.Load()\n", 1),
		filepath.Join(root, "src", "time", "set.go"): settableClock,
		filepath.Join(here, "set_by_signal.go"):      setBySignal,
	}
	replace := make(map[string]string)
	for file, text := range files {
		at := filepath.Join(dir, fmt.Sprint(len(replace), ".go"))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[file] = at
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, must1(json.Marshal(map[string]any{"Replace": replace})), 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "collector")
	if out, err := exec.Command("go", "build", "-tags", "grpcnotrace", "-overlay", overlay, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	return program
}

// TestClockIsSet sets the clock of the built command by an hour, on and back, while reports come. Each answer about now has
// all reports of the last window, or says that it lacks some because of the clock; a window later answers are whole again.
// Everything that was acknowledged is stored once, also the posts that a client repeats then.
func TestClockIsSet(t *testing.T) {
	if !*setClocks {
		t.Skip("without -clock")
	}
	program := buildWithClock(t)
	for name, set := range map[string]syscall.Signal{"on": syscall.SIGUSR1, "back": syscall.SIGUSR2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			s := launch(t, exec.Command(program, "serve", "--listen", "127.0.0.1:0", "--data", data, "--tick", "500ms", "--window", "4s"))
			c := &clockSetter{t: t, served: s, window: 4 * time.Second, tick: 500 * time.Millisecond}
			c.during(3 * time.Second)
			if c.told > 0 {
				t.Errorf("%d answers said that the clock was set before it was", c.told)
			}
			if err := syscall.Kill(s.pid, set); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // until the process has the signal
			c.again()
			c.during(4 * time.Second)
			t.Logf("%d answers after the clock was set: %d lacked reports, %d said so", c.asked, c.short, c.told)
			if c.told == 0 {
				t.Error("no answer said that the clock was set")
			}
			time.Sleep(time.Second)
			c.told = 0
			c.during(2 * time.Second)
			if c.told > 0 {
				t.Errorf("%d answers still say so more than a window later", c.told)
			}
			if code := s.stop(); code != 0 {
				t.Errorf("exit code %d: %s", code, s.said())
			}
			c.check(data)
		})
	}
}

// clockSetter posts reports and asks about now.
type clockSetter struct {
	*served
	t                  *testing.T
	window, tick       time.Duration
	posted             []time.Time // by host
	asked, short, told int
}

func (c *clockSetter) during(d time.Duration) {
	c.t.Helper()
	c.asked, c.short = 0, 0
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if status, answer := postHost(c.t, c.url, fmt.Sprintf("host-%06d", len(c.posted))); status != http.StatusOK {
			c.t.Fatal(status, answer)
		}
		c.posted = append(c.posted, time.Now())
		c.ask()
	}
}

// again repeats posts of the window, as a client does that had no answer.
func (c *clockSetter) again() {
	c.t.Helper()
	for host := len(c.posted) - 10; host < len(c.posted); host++ {
		if status, answer := postHost(c.t, c.url, fmt.Sprintf("host-%06d", host)); status != http.StatusOK {
			c.t.Fatal(status, answer)
		}
	}
}

func (c *clockSetter) ask() {
	c.t.Helper()
	begun := time.Now()
	req := must1(http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+"/api/report", nil))
	req.Close = true
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body := string(must1(io.ReadAll(resp.Body)))
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	found, lacks := hostsIn(body), 0
	for host, at := range c.posted {
		if begun.Sub(at) < c.window-c.tick && !found[fmt.Sprintf("host-%06d", host)] {
			lacks++
		}
	}
	told := strings.Contains(resp.Header.Get("Timeblob-Missing"), "clock")
	if c.asked++; told {
		c.told++
	}
	if lacks > 0 {
		if c.short++; !told {
			c.t.Errorf("an answer lacks %d reports of the window and does not say so", lacks)
		}
	}
}

// check looks for each report in the store.
func (c *clockSetter) check(data string) {
	c.t.Helper()
	r := collect(c.t, "query", "--json", "--data", data, "--start", "-2h", "--end", "+2h")
	if found := hostsIn(r.stdout); r.code != 0 || len(found) != len(c.posted) {
		c.t.Errorf("%d of %d reports are stored: %s", len(found), len(c.posted), r.stderr)
	}
	counted := 0
	for _, r := range storedReports(c.t, data) {
		counted += int(r.Sampling.Count)
	}
	if counted != len(c.posted) {
		c.t.Errorf("%d reports were acknowledged, and %d are stored", len(c.posted), counted)
	}
}
