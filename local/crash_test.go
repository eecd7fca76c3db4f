package local

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/racetest"
)

// childDir names the variable that makes the test binary a writer to be killed.
const childDir = "TIMEBLOB_LOCAL_CHILD_DIR"

// childNoSync names the variable that makes that writer leave out syncs.
const childNoSync = "TIMEBLOB_LOCAL_CHILD_NO_SYNC"

const writers = 8

// child commits for ever, each writer as its own tenant at instants that go
// up, blobs of many sizes, and prints what was acknowledged.
func child(dir string) {
	db, err := Open(dir, &Options{MemtableBytes: 1 << 20, NoSync: os.Getenv(childNoSync) != ""})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var group sync.WaitGroup
	for w := range writers {
		tenant := fmt.Sprintf("t%d", w)
		first := int64(len(mustEntries(db, tenant)))
		group.Go(func() { writeForEver(db, tenant, first) })
	}
	group.Wait()
	os.Exit(1)
}

func mustEntries(db *DB, tenant string) (entries []index.Entry) {
	for e, err := range db.Entries(context.Background(), tenant, 0, 1<<62) {
		if err != nil {
			panic(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func writeForEver(db *DB, tenant string, first int64) {
	for n := first; ; n++ {
		row, e, blob := sample(tenant, instant(n), sizeOf(n))
		if err := db.Commit(context.Background(), row, e, blob); err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println(tenant, n)
	}
}

func instant(n int64) int64 { return n * hour / 7 }
func sizeOf(n int64) int    { return int(n*n*131) % 30_000 }

func TestKilledWriterLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 5
	if racetest.Enabled {
		rounds = 3
	}
	for name, env := range map[string]string{"Sync": "", "NoSync": childNoSync + "=1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked := make(map[string]int64)
			for round := range rounds {
				runAndKill(t, dir, env, 150+round*97, acked)
				checkAfterCrash(t, dir, nil, acked)
			}
			if len(acked) != writers {
				t.Errorf("only %d of %d writers were acknowledged anything", len(acked), writers)
			}
		})
	}
}

// TestSync checks that with NoSync what was written before Sync survives a crash of the
// machine.
func TestSync(t *testing.T) {
	t.Parallel()
	mem := vfs.NewCrashableMem()
	db := openIn(t, "data", &Options{FS: mem, NoSync: true})
	commit(t, db, "t", 0, 100)
	before := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := db.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := mem.CrashClone(vfs.CrashCloneCfg{})
	for want, disk := range map[int]*vfs.MemFS{0: before, 1: after} {
		if got := len(entriesOf(t, openIn(t, "data", &Options{FS: disk}), "t")); got != want {
			t.Errorf("%d entries survived, want %d", got, want)
		}
	}
}

// runAndKill lets a child commit n times at least and kills it in the midst.
func runAndKill(t *testing.T, dir, env string, n int, acked map[string]int64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); n-- {
		if n == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		noteAck(t, lines.Text(), acked)
	}
	if err := cmd.Wait(); err == nil || n > 0 {
		t.Fatalf("child ended by itself: %v, %d commits short", err, n)
	}
}

func noteAck(t *testing.T, line string, acked map[string]int64) {
	t.Helper()
	var tenant string
	var n int64
	if _, err := fmt.Sscanf(line, "%s %d", &tenant, &n); err != nil || strings.HasPrefix(line, "error") {
		t.Fatalf("child says %q", line)
	}
	acked[tenant] = n + 1
}

// checkAfterCrash opens what a crash left behind: each tenant has its first
// instants without a gap, as many as were acknowledged or one more, and each
// entry its blob, whole; there is no blob of the instant after. It sets acked to what
// is there.
func checkAfterCrash(t *testing.T, dir string, opts *Options, acked map[string]int64) {
	t.Helper()
	db := openIn(t, dir, opts)
	defer db.Close()
	for tenant, least := range acked {
		entries := entriesOf(t, db, tenant)
		if n := int64(len(entries)); n != least && n != least+1 {
			t.Fatalf("%s: %d entries, %d acknowledged", tenant, n, least)
		}
		for n, e := range entries {
			checkWhole(t, db, tenant, int64(n), e)
		}
		_, next, _ := sample(tenant, instant(int64(len(entries))), 0)
		if blob := blobOf(t, db, next.Key); blob != nil {
			t.Fatalf("%s: a blob of %d bytes has no entry", tenant, len(blob))
		}
		acked[tenant] = int64(len(entries))
	}
}

func checkWhole(t *testing.T, db *DB, tenant string, n int64, e index.Entry) {
	t.Helper()
	_, want, blob := sample(tenant, instant(n), sizeOf(n))
	if e != want {
		t.Fatalf("%s: entry %d is %v, want %v", tenant, n, e, want)
	}
	if got := blobOf(t, db, e.Key); !bytes.Equal(got, blob) {
		t.Fatalf("%s: blob of entry %d has %d bytes, want %d", tenant, n, len(got), len(blob))
	}
}
