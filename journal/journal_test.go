package journal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRecordsSurviveInEveryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []Sync{Always, Interval, Off} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := mustOpen(t, dir, &Options{Sync: mode})
			a := mustAppend(t, j, "a", "first")
			b := mustAppend(t, j, "", "")
			c := mustAppend(t, j, "c", strings.Repeat("x", 1<<20))
			crashed := copyDir(t, dir) // what a SIGKILL leaves: all that was written
			j.End(b)
			mustClose(t, j)
			want := []string{fmt.Sprintf("%d=a:first", a), fmt.Sprintf("%d=c:%s", c, strings.Repeat("x", 1<<20))}
			if got := undone(t, mustOpen(t, dir, nil)); !slices.Equal(got, want) {
				t.Errorf("after Close: %.80q, want %.80q", got, want)
			}
			want = slices.Insert(want, 1, fmt.Sprintf("%d=:", b))
			again := mustOpen(t, crashed, nil)
			if got := undone(t, again); !slices.Equal(got, want) || len(again.Damage()) > 0 {
				t.Errorf("after a crash: %.80q and %v, want %.80q", got, again.Damage(), want)
			}
		})
	}
}

func TestWritersShareSyncs(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	files := &faulty{}
	j := mustOpen(t, t.TempDir(), &Options{files: files})
	mustAppend(t, j, "the", "first segment")
	files.set(func(op, name string) error {
		if op == "sync" {
			<-slow
		}
		return nil
	})
	var g sync.WaitGroup
	for range 64 {
		g.Go(func() { mustAppend(t, j, "m", "b") })
	}
	for j.ledger.waiting() < 64*(headSize+2) {
		time.Sleep(time.Millisecond)
	}
	close(slow)
	g.Wait()
	syncs := 0
	for _, call := range files.calls() {
		if strings.HasPrefix(call, "sync 0") {
			syncs++
		}
	}
	if syncs > 4 {
		t.Errorf("64 writers at a time took %d syncs", syncs)
	}
}

// TestReadTellsWhatIsNotThere reads records that never were, are damaged or cut off, are
// done, and belong to a journal that is closed. Damage is told once, and the file is kept.
func TestReadTellsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for what, harm := range map[string]func(t *testing.T, name string){
		"flipped": func(t *testing.T, name string) {
			b := readFile(t, name)
			b[len(b)-1] ^= 1
			writeFile(t, name, b)
		},
		"cut": func(t *testing.T, name string) {
			if err := os.Truncate(name, headerSize+1); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			testReadOfADamagedRecord(t, harm)
		})
	}
}

func testReadOfADamagedRecord(t *testing.T, harm func(t *testing.T, name string)) {
	t.Helper()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	id := mustAppend(t, j, "m", "blob")
	if _, _, _, err := j.Read(id + 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a record that never was: %v", err)
	}
	name := logs(t, dir)[0]
	harm(t, name)
	for range 2 {
		_, _, _, err := j.Read(id)
		if corrupt, ok := errors.AsType[*CorruptError](err); !ok || !corrupt.Corrupt() || corrupt.ID != id || corrupt.File != name {
			t.Errorf("a damaged record: %v", err)
		}
	}
	if d := j.Damage(); len(d) != 1 || d[0].First != id || d[0].Last != id || d[0].Torn || !j.ledger.segments[0].damaged {
		t.Errorf("damage: %v", d)
	}
	if got := undone(t, j); len(got) > 0 {
		t.Errorf("replayed: %q", got)
	}
	j.End(id)
	if _, _, _, err := j.Read(id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a record that is done: %v", err)
	}
	id = mustAppend(t, j, "m", "blob")
	mustClose(t, j)
	if _, _, _, err := j.Read(id); !errors.Is(err, ErrClosed) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a journal that is closed: %v", err)
	}
}

func TestAppendRefusesNonsense(t *testing.T) {
	t.Parallel()
	j := mustOpen(t, t.TempDir(), nil)
	if _, err := j.Append(context.Background(), 0, nil, nil); err == nil {
		t.Error("kind 0 was taken")
	}
	if _, err := j.Append(context.Background(), 1, make([]byte, maxMeta+1), nil); err == nil {
		t.Error("meta over the limit was taken")
	}
	mustClose(t, j)
	if _, err := j.Append(context.Background(), 1, nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Sync: 3}, {Sync: -1}, {Every: -1}, {Keep: -1}, {SegmentBytes: -1}, {SegmentBytes: 100, MaxBytes: 399},
	} {
		if _, err := Open(t.TempDir(), &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	var mode Sync
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.SetOutput(new(strings.Builder))
	flags.TextVar(&mode, "sync", Always, "")
	if err := flags.Parse([]string{"-sync", "interval"}); err != nil || mode != Interval {
		t.Errorf("-sync interval: %v, %v", mode, err)
	}
	if err := flags.Parse([]string{"-sync", "sometimes"}); err == nil || !strings.Contains(err.Error(), "always, interval, off") {
		t.Errorf("-sync sometimes: %v", err)
	}
}

func TestCancelledAppend(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	began := make(chan struct{}, 100)
	files := &faulty{}
	dir := t.TempDir()
	j := mustOpen(t, dir, &Options{files: files})
	first := mustAppend(t, j, "m", "first")
	files.set(func(op, name string) error {
		if op == "sync" {
			began <- struct{}{}
			<-hang
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var g sync.WaitGroup
	appendCancelled := func() {
		if _, err := j.Append(ctx, 1, nil, []byte("cancelled")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	g.Go(appendCancelled)
	<-began // the first one is being written, the others wait
	for range 5 {
		g.Go(appendCancelled)
	}
	for j.ledger.waiting() < 6*(headSize+9) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	g.Wait()
	close(hang)
	second := mustAppend(t, j, "m", "second")
	want := []string{fmt.Sprintf("%d=m:first", first), fmt.Sprintf("%d=m:second", second)}
	if got := undone(t, j); !slices.Equal(got, want) || j.ledger.waiting() != 0 {
		t.Errorf("got %q and %d bytes waiting, want %q and 0", got, j.ledger.waiting(), want)
	}
	if _, err := j.Append(ctx, 1, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an Append whose context has ended: %v", err)
	}
	mustClose(t, j)
	if got := undone(t, mustOpen(t, dir, nil)); !slices.Equal(got, want) {
		t.Errorf("after Close: %q, want %q", got, want)
	}
}

func TestTwoProcessesDoNotShareADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	mustAppend(t, j, "m", "b")
	for _, readOnly := range []bool{false, true} {
		if _, err := Open(dir, &Options{ReadOnly: readOnly}); err == nil {
			t.Error("opened twice")
		} else if locked, ok := errors.AsType[*LockedError](err); !ok || locked.Dir != dir {
			t.Errorf("got %v", err)
		}
	}
	mustClose(t, j)
	mustClose(t, mustOpen(t, dir, nil))
}

func TestReadOnlyChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := mustOpen(t, dir, nil)
	id := mustAppend(t, j, "m", "b")
	mustClose(t, j)
	writeFile(t, logs(t, dir)[0], append(readFile(t, logs(t, dir)[0]), "torn"...))
	writeFile(t, dir+"/0000000000000002.log.tmp", nil)
	before := snapshot(t, dir)
	for range 2 {
		j = mustOpen(t, dir, &Options{ReadOnly: true})
		j.End(id)
		if got := undone(t, j); len(got) != 1 || len(j.Damage()) != 1 {
			t.Errorf("got %q and %v", got, j.Damage())
		}
		if _, err := j.Append(context.Background(), 1, nil, nil); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Append: %v", err)
		}
		mustClose(t, j)
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("the directory was %s and is %s", before, after)
	}
	if _, err := Open(t.TempDir()+"/none", &Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %q\n", e.Name(), readFile(t, dir+"/"+e.Name()))
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	j := mustOpen(t, t.TempDir(), &Options{Registerer: reg, Namespace: "x"})
	id := mustAppend(t, j, "m", "b")
	mustAppend(t, j, "m", "b")
	j.End(id)
	want := `
# HELP x_journal_records Records in the journal that are not done: their values are not in the index yet.
# TYPE x_journal_records gauge
x_journal_records 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "x_journal_records"); err != nil {
		t.Error(err)
	}
	stats := j.Stats()
	if got := testutil.ToFloat64(j.metrics.bytes); int64(got) < stats.LiveBytes || stats.Live != 1 || stats.LiveBytes != headSize+2 {
		t.Errorf("journal_bytes is %v, stats are %+v", got, stats)
	}
	if n := testutil.CollectAndCount(j.metrics.sync); n != 1 || testutil.ToFloat64(j.metrics.limit) != float64(stats.Limit) {
		t.Errorf("%d sync histograms, limit %v", n, testutil.ToFloat64(j.metrics.limit))
	}
	mustClose(t, j)
	if got := testutil.ToFloat64(j.metrics.bytes) + testutil.ToFloat64(j.metrics.records) + testutil.ToFloat64(j.metrics.limit); got != 0 {
		t.Errorf("after Close the gauges' sum is %v", got)
	}
}
