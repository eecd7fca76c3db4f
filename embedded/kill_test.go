package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/embedded"
	"github.com/timeblob/timeblob/journal"
)

// childDir and childSync name the variables that make the test binary a process to
// be killed: it adds values to the store in a directory for ever, and prints each
// that was taken.
const (
	childDir  = "TIMEBLOB_EMBEDDED_CHILD_DIR"
	childSync = "TIMEBLOB_EMBEDDED_CHILD_SYNC"
)

func child(dir string) error {
	opts := &embedded.Options[counts]{Collector: bucket.CollectorOptions[counts]{Tick: 300 * time.Millisecond}}
	if err := opts.Journal.Sync.UnmarshalText([]byte(os.Getenv(childSync))); err != nil {
		return err
	}
	s, err := embedded.Open(dir, jsonCodec{}, addUp, opts)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := fmt.Sprint(os.Getpid(), "-", i)
		if err := s.Add(context.Background(), fmt.Sprint("t", i%3), counts{key: 1}, nil); err != nil {
			return err
		}
		fmt.Println(key)
	}
}

// TestKillsLoseNothing kills processes that use the one-call wiring. Every value
// that Add has taken must be stored once.
func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	for sync := journal.Always; sync <= journal.Off; sync++ {
		t.Run(sync.String(), func(t *testing.T) {
			t.Parallel()
			dir, taken := filepath.Join(t.TempDir(), "data"), make(map[string]bool)
			for life := range 4 {
				runAndKill(t, dir, sync, 20+200*life, taken)
			}
			s, err := embedded.Open(dir, jsonCodec{}, addUp, &embedded.Options[counts]{Journal: journal.Options{Sync: sync}})
			if err != nil {
				t.Fatal(err)
			}
			found := counts{}
			for i := range 3 {
				a, err := s.Range(t.Context(), fmt.Sprint("t", i), time.Now().Add(-time.Hour), time.Now().Add(time.Hour), nil)
				if err != nil {
					t.Fatal(err)
				}
				for key, n := range a.Value {
					found[key] += n
				}
			}
			for key := range taken {
				if found[key] == 0 {
					t.Errorf("%s is lost", key)
				}
			}
			for key, n := range found {
				if n != 1 {
					t.Errorf("%s is stored %d times", key, n)
				}
			}
			t.Logf("%d taken, %d stored", len(taken), len(found))
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAJournalThatIsGone kills a process and removes its journal, or opens the directory without one. The next Open
// says that values may be missing, and an Open after an orderly Close does not.
func TestAJournalThatIsGone(t *testing.T) {
	t.Parallel()
	for _, without := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "data")
		runAndKill(t, dir, journal.Off, 20, make(map[string]bool))
		if !without {
			if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
				t.Fatal(err)
			}
		}
		open := func(without bool) (log string) {
			var b bytes.Buffer
			o := &embedded.Options[counts]{NoJournal: without}
			o.Collector.Logger = slog.New(slog.NewTextHandler(&b, nil))
			s, err := embedded.Open(dir, jsonCodec{}, addUp, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		if log := open(without); !strings.Contains(log, "last used with another journal") {
			t.Errorf("without %v: the log is %s", without, log)
		}
		open(false)
		if log := open(without); strings.Contains(log, "another journal") {
			t.Errorf("without %v: after a Close the log is %s", without, log)
		}
	}
}

// runAndKill runs a process until it has added so many values, and kills it.
func runAndKill(t *testing.T, dir string, sync journal.Sync, values int, taken map[string]bool) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childSync+"="+sync.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	added := 0
	for lines := bufio.NewReader(out); ; added++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		taken[strings.TrimSpace(line)] = true
		if added == values {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 || added < values {
		t.Fatalf("after %d values: %v", added, err)
	}
}
