package journal

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// The child is this test binary again, with these variables set.
const (
	childEnv  = "JOURNAL_TEST_CHILD" // the directory
	childSync = "JOURNAL_TEST_SYNC"
	childName = "JOURNAL_TEST_ROUND"
)

var kills = flag.Int("kills", 10, "SIGKILLs of TestKillLoop in each mode of Sync")

// killOptions make segments roll, move and go all the time.
func killOptions(mode Sync) *Options {
	return &Options{Sync: mode, Every: 5 * time.Millisecond, SegmentBytes: 50_000, MaxBytes: 400_000}
}

// child appends for ever. It prints each record that was acknowledged, and
// each record that it is going to call done.
func child(dir string) {
	var mode Sync
	if err := mode.UnmarshalText([]byte(os.Getenv(childSync))); err != nil {
		panic(err)
	}
	j, err := Open(dir, killOptions(mode))
	if err != nil {
		panic(err)
	}
	deliver(j)
	var g sync.WaitGroup
	for w := range 8 {
		g.Go(func() {
			for n := 0; ; n++ {
				blob := fmt.Sprintf("%s.%d.%d", os.Getenv(childName), w, n)
				long := blob + strings.Repeat("x", rand.IntN(2000))
				id, err := j.Append(context.Background(), 1, []byte(blob), []byte(long))
				if err != nil {
					fmt.Println("refused:", err)
					time.Sleep(time.Millisecond)
					continue
				}
				fmt.Printf("ack %d %s\n", id, blob)
				if n%20 > 0 || j.Stats().LiveBytes > 220_000 {
					fmt.Printf("end %d %s\n", id, blob)
					j.End(id)
				}
			}
		})
	}
	g.Wait()
}

// deliver calls all records done that the child before left, once they take
// half of the journal.
func deliver(j *Journal) {
	if j.Stats().LiveBytes < 200_000 {
		return
	}
	err := j.Replay(func(id uint64, _ byte, meta, _ []byte, done bool) error {
		fmt.Printf("end %d %s\n", id, meta)
		j.End(id)
		return nil
	})
	if err != nil {
		panic(err)
	}
}

// TestKillLoop kills a process that writes, again and again: no record that it
// acknowledged is missing, and none is there twice. Try -kills 300.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	for _, mode := range []Sync{Always, Interval, Off} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked := make(map[string]uint64) // blobs that must be there
			total := 0
			for round := range *kills {
				now, done := runAndKill(t, dir, mode, fmt.Sprint(round))
				maps.Copy(acked, now)
				total += len(now)
				for blob := range done {
					delete(acked, blob)
				}
				checkAfterKill(t, dir, acked)
				if t.Failed() {
					t.Fatalf("after kill %d", round)
				}
			}
			t.Logf("%d kills, %d records acknowledged, %d left, none lost, none twice", *kills, total, len(acked))
		})
	}
}

// runAndKill runs the child for a moment. It returns what the child said.
func runAndKill(t *testing.T, dir string, mode Sync, name string) (acked, done map[string]uint64) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+dir, childSync+"="+mode.String(), childName+"="+name)
	command.Stderr = io.Discard
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	acked, done = make(map[string]uint64), make(map[string]uint64)
	stop := 100 + rand.IntN(3000) // lines until it is killed
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if n == stop {
			if err := command.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		var what, blob string
		var id uint64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %s", &what, &id, &blob); err != nil {
			continue // cut by the kill
		}
		if what == "ack" {
			acked[blob] = id
		} else {
			done[blob] = id
		}
	}
	_ = command.Wait() // it was killed
	return acked, done
}

// checkAfterKill opens the journal and compares it with what must be there.
// What was called done, or not acknowledged yet, may be there as well.
func checkAfterKill(t *testing.T, dir string, acked map[string]uint64) {
	t.Helper()
	j := mustOpen(t, dir, nil)
	seen := make(map[string]uint64)
	err := j.Replay(func(id uint64, _ byte, meta, blob []byte, done bool) error {
		name := string(meta)
		if twin, twice := seen[name]; twice {
			t.Errorf("%s is there twice, as %d and %d", name, twin, id)
		}
		if !strings.HasPrefix(string(blob), name) {
			t.Errorf("%s has the blob %.30q", name, blob)
		}
		if want, ok := acked[name]; ok && (done || id != want) {
			t.Errorf("%s is %d, done %v; it was acknowledged as %d", name, id, done, want)
		}
		seen[name] = id
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for name, id := range acked {
		if _, ok := seen[name]; !ok {
			t.Errorf("%s, record %d, was acknowledged and is lost", name, id)
		}
	}
	for _, d := range j.Damage() {
		if !d.Torn {
			t.Error(d)
		}
	}
	mustClose(t, j)
}
