package local

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// wantRefusal opens dir, which must fail with one line that says want.
func wantRefusal(t *testing.T, dir string, opts *Options, want string) {
	t.Helper()
	db, err := Open(dir, opts)
	if err == nil {
		db.Close()
		t.Fatalf("opened, want an error that says %q", want)
	}
	if s := err.Error(); !strings.Contains(s, want) || strings.Contains(s, "\n") || !strings.Contains(s, dir) {
		t.Errorf("got error %q, want one line with the directory and %q", s, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"SomethingElse":   {map[string]string{"a.txt": "x"}, `holds something else ("a.txt")`},
		"ForeignPebble":   {map[string]string{"MANIFEST-000001": "x", "LOCK": ""}, `holds something else ("MANIFEST-000001")`},
		"NewerFormat":     {map[string]string{"FORMAT": "timeblob local 3\n"}, "has format version 3, this program knows 2"},
		"NoFormat":        {map[string]string{"FORMAT": "timeblob local x\n"}, "no format version"},
		"EmptyFormat":     {map[string]string{"FORMAT": ""}, "no format version"},
		"NegativeFormat":  {map[string]string{"FORMAT": "timeblob local -1\n"}, "no format version"},
		"ManifestMissing": {map[string]string{"FORMAT": "timeblob local 1\n", "000004.sst": "x"}, "marker.manifest is missing"},
		"NewerPebble": {map[string]string{
			"FORMAT": "timeblob local 1\n", "marker.format-version.000099.999": "", "marker.manifest.000001.MANIFEST-000001": "",
		}, "unknown format major version 999"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range test.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			wantRefusal(t, dir, nil, test.want)
			wantRefusal(t, dir, nil, test.want) // and it has let go of the lock
			for file, text := range test.files {
				if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(got) != text {
					t.Errorf("%s was changed to %q, %v", file, got, err)
				}
			}
		})
	}
}

func TestOpenRefusesPaths(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, file, nil, "is a file, not a directory")
	wantRefusal(t, filepath.Join(file, "sub"), nil, "not a directory")
	wantRefusal(t, "", nil, "no directory given")
}

func TestOpenRefusesWithoutPermission(t *testing.T) {
	t.Parallel()
	for kind, name := range map[errorfs.OpKind]string{
		errorfs.OpStat: "stat", errorfs.OpList: "list", errorfs.OpLock: "lock", errorfs.OpCreate: "create", errorfs.OpMkdirAll: "mkdir",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault := &trap{match: func(op errorfs.Op) bool { return op.Kind == kind }, err: &fs.PathError{Op: name, Path: "data", Err: fs.ErrPermission}, at: 1, count: 1}
			mem := vfs.NewMem()
			_, err := Open("data", &Options{FS: errorfs.Wrap(mem, fault)})
			wantErr(t, err, fs.ErrPermission)
			commit(t, openIn(t, "data", &Options{FS: mem}), "t", 1, 1)
		})
	}
}

func TestOpenRefusesOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]*Options{
		"retention": {Retention: time.Hour - 1},
		"-1ns":      {Retention: -1},
		"cache":     {CacheBytes: -1},
		"memtable":  {MemtableBytes: 1<<20 - 1},
		"1 GiB":     {MemtableBytes: 1<<30 + 1},
	} {
		wantRefusal(t, filepath.Join(t.TempDir(), "x"), opts, want)
	}
}

// TestOneOwner checks that a directory is refused by all its names while it is open here.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir, link := filepath.Join(parent, "dir"), filepath.Join(parent, "link")
	db := openIn(t, dir, nil)
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, link, dir + "/../dir/"} {
		wantRefusal(t, name, nil, "another process, or this one, holds it")
	}
	commit(t, db, "t", 1, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, link, nil)
}

// TestTwoProcesses checks that a directory is refused while another process has it.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	wantRefusal(t, dir, nil, "another process, or this one, holds it")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if db := openIn(t, dir, nil); len(entriesOf(t, db, strings.Fields(lines.Text())[0])) == 0 {
		t.Error("nothing was written by the other process")
	}
}

// TestClosed checks that every call says so, and closing twice is no error.
func TestClosed(t *testing.T) {
	t.Parallel()
	db := openMem(t)
	ctx := t.Context()
	row, e, blob := sample("t", 1, 1)
	commit(t, db, "t", 1, 1)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, db.Commit(ctx, row, e, blob), ErrClosed)
	wantErr(t, db.Index().Put(ctx, row, e), ErrClosed)
	wantErr(t, db.Blobs().Put(ctx, e.Key, blob), ErrClosed)
	_, err := db.Index().Query(ctx, row, 0, 0)
	wantErr(t, err, ErrClosed)
	_, err = tiertest.Found(ctx, db.Blobs(), nil)
	wantErr(t, err, ErrClosed)
	_, err = db.Tenants(ctx)
	wantErr(t, err, ErrClosed)
	_, err = db.Stats(ctx)
	wantErr(t, err, ErrClosed)
	for _, err = range db.Entries(ctx, "t", 0, 10) {
		wantErr(t, err, ErrClosed)
	}
}

// TestCloseInFlight closes while many use the store: each call works or says
// that the store is closed, and acknowledged writes are there afterwards.
func TestCloseInFlight(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	db := openIn(t, "data", &Options{FS: mem})
	var group sync.WaitGroup
	var acked [16]int64
	for w := range acked {
		tenant := string(rune('a' + w))
		group.Go(func() {
			for n := int64(0); ; n++ {
				row, e, blob := sample(tenant, instant(n), sizeOf(n))
				err := db.Commit(t.Context(), row, e, blob)
				if err == nil {
					_, err = db.Index().Query(t.Context(), row, 0, hour)
					acked[w]++
				}
				if err != nil {
					wantErr(t, err, ErrClosed)
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	for range 3 {
		group.Go(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	db = openIn(t, "data", &Options{FS: mem})
	for w, n := range acked {
		if got := len(entriesOf(t, db, string(rune('a'+w)))); int64(got) != n {
			t.Errorf("writer %d: %d entries, %d acknowledged", w, got, n)
		}
	}
}

// TestCloseWaits checks that a read that hangs on the disk holds Close up, and is right.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	hang, hung := make(chan struct{}), make(chan struct{}, 100)
	toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if reads(op) {
			hung <- struct{}{}
			<-hang
		}
		return nil
	})}
	mem := vfs.NewMem()
	fillTables(t, mem)
	db := openIn(t, "data", &Options{FS: errorfs.Wrap(mem, toggle)})
	toggle.On()
	_, e, blob := sample("t", 1, 5000)
	got, closed := make(chan bool), make(chan error, 1)
	go func() {
		found, err := tiertest.Found(context.Background(), db.Blobs(), []string{e.Key})
		got <- err == nil && bytes.Equal(found[e.Key], blob)
	}()
	for !inCall(db) { // a read of the engine's own may hang as well
		time.Sleep(time.Millisecond)
	}
	<-hung
	go func() { closed <- db.Close() }()
	select {
	case err := <-closed:
		t.Errorf("closed with a read in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(hang)
	if right := <-got; !right {
		t.Error("the read in flight was wrong")
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func inCall(db *DB) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.calls > 0
}

// TestContexts checks that every call obeys its context, a commit even while the disk
// hangs, and Close then waits for it.
func TestContexts(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hung := make(chan struct{}, 100)
	fault := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData {
			hung <- struct{}{}
			<-hang
		}
		return nil
	})
	toggle := &errorfs.Toggle{Injector: fault}
	db := openIn(t, "data", &Options{FS: errorfs.Wrap(vfs.NewMem(), toggle)})
	toggle.On()
	ctx, cancel := context.WithCancel(t.Context())
	row, e, blob := sample("t", 1, 10)
	first, second := make(chan error), make(chan error)
	go func() { first <- db.Commit(ctx, row, e, blob) }()
	<-hung
	go func() { second <- db.Commit(ctx, row, e, blob) }() // waits for the first
	cancel()
	err := <-first
	wantErr(t, err, context.Canceled)
	wantErr(t, <-second, context.Canceled)
	commit, ok := errors.AsType[interface {
		error
		Underway() bool
	}](err)
	if !ok || !commit.Underway() {
		t.Fatalf("the commit is under way, and its error is %v", err)
	}
	checkCancelled(t, db, ctx)
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	select {
	case <-closed:
		t.Error("closed with a commit in flight")
	case <-time.After(20 * time.Millisecond):
	}
	close(hang)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if commit.Underway() {
		t.Error("the commit has ended and is called under way")
	}
}

func checkCancelled(t *testing.T, db *DB, ctx context.Context) {
	t.Helper()
	row, e, blob := sample("t", 2, 10)
	wantErr(t, db.Commit(ctx, row, e, blob), context.Canceled)
	wantErr(t, db.Index().Put(ctx, row, e), context.Canceled)
	wantErr(t, db.Blobs().Put(ctx, e.Key, blob), context.Canceled)
	_, err := db.Index().Query(ctx, row, 0, 1)
	wantErr(t, err, context.Canceled)
	_, err = tiertest.Found(ctx, db.Blobs(), []string{e.Key})
	wantErr(t, err, context.Canceled)
	_, err = db.Tenants(ctx)
	wantErr(t, err, context.Canceled)
	_, err = db.Stats(ctx)
	wantErr(t, err, context.Canceled)
	n := 0
	for _, err := range db.Entries(ctx, "t", 0, 1) {
		wantErr(t, err, context.Canceled)
		n++
	}
	if n != 1 {
		t.Errorf("cancelled iteration yielded %d times", n)
	}
}

// TestNothingHalf checks that a commit whose instant or key is taken changes nothing.
func TestNothingHalf(t *testing.T) {
	t.Parallel()
	db := openMem(t)
	ctx := t.Context()
	row, e, _ := sample("t", 1, 0)
	_, other, _ := sample("t", 2, 0)
	commit(t, db, "t", 1, 10)
	wantErr(t, db.Commit(ctx, row, index.Entry{Time: 1, Key: other.Key}, []byte("x")), index.ErrExists)
	wantErr(t, db.Commit(ctx, row, index.Entry{Time: 2, Key: e.Key}, []byte("x")), index.ErrExists)
	if blob := blobOf(t, db, other.Key); blob != nil {
		t.Errorf("a blob of a refused commit: %q", blob)
	}
	if entries := entriesOf(t, db, "t"); len(entries) != 1 {
		t.Errorf("entries %v, want one", entries)
	}
	if err := db.Commit(ctx, row, other, nil); err != nil || errors.Is(err, index.ErrExists) {
		t.Error(err)
	}
}
