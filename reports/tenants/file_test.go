package tenants_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/reports/tenants"
)

// watched is a tenants file that a File watches.
type watched struct {
	*tenants.File
	path     string
	log      *bytes.Buffer
	registry *prometheus.Registry
}

// watch writes a file, opens it and runs the File, in a synctest bubble.
func watch(t *testing.T, text string, opts tenants.Options) *watched {
	t.Helper()
	w := &watched{path: filepath.Join(t.TempDir(), "tenants"), log: &bytes.Buffer{}, registry: prometheus.NewRegistry()}
	w.write(t, text)
	opts.Registerer, opts.Logger = w.registry, slog.New(slog.NewTextHandler(w.log, nil))
	var err error
	if w.File, err = tenants.Open(w.path, &opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// write overwrites the file.
func (w *watched) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(w.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace puts another file with the same time in place of the file.
func (w *watched) replace(t *testing.T, text string) {
	t.Helper()
	info, err := os.Stat(w.path)
	if err != nil {
		t.Fatal(err)
	}
	other := w.path + ".new"
	for _, err := range []error{os.WriteFile(other, []byte(text), 0o600), os.Chtimes(other, info.ModTime(), info.ModTime()), os.Rename(other, w.path)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// want checks which tokens are in force. The token of a tenant is "token".
func (w *watched) want(t *testing.T, tokens ...string) {
	t.Helper()
	for _, token := range []string{"t1", "t2", "t3"} {
		want := strings.Contains(strings.Join(tokens, " "), token)
		if _, got := w.Table().Caller(token); got != want {
			t.Errorf("token %s is known: %v, want %v", token, got, want)
		}
	}
}

// wantReads checks the metrics.
func (w *watched) wantReads(t *testing.T, taken, refused, good string) {
	t.Helper()
	const head = "# HELP scope_tenants_file_good 1 while what the tenants file says is in force, 0 while it is broken or gone.\n" +
		"# TYPE scope_tenants_file_good gauge\nscope_tenants_file_good "
	const reads = "\n# HELP scope_tenants_file_reads_total New versions of the tenants file, by whether they were taken.\n" +
		"# TYPE scope_tenants_file_reads_total counter\nscope_tenants_file_reads_total{result=\"refused\"} "
	text := head + good + reads + refused + "\nscope_tenants_file_reads_total{result=\"taken\"} " + taken + "\n"
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

// look waits for two checks of the file.
func look() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func TestFileIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "a token=t1", tenants.Options{})
		w.want(t, "t1")
		look()
		w.wantReads(t, "0", "0", "1")
		w.write(t, "a token=t2\nb token=t3 rate=5")
		w.want(t, "t1")
		look()
		w.want(t, "t2", "t3")
		if got := w.Table().Limits("b").Rate; got != 5 {
			t.Errorf("rate %v", got)
		}
		w.replace(t, "a token=t1\nb token=t3 rate=6") // same size and time
		look()
		w.want(t, "t1", "t3")
		if err := os.Chtimes(w.path, time.Time{}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		look()
		w.wantReads(t, "2", "0", "1") // the last version has the same content
		if n := strings.Count(w.log.String(), "\n"); n != 2 || !strings.Contains(w.log.String(), "tenants=2 tokens=2") {
			t.Errorf("logged %s", w.log)
		}
	})
}

// TestBrokenFileIsNotTaken checks that the last good version stays in force, and that the fault is logged
// once.
func TestBrokenFileIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, w *watched)
		says  string
	}{
		"broken":    {func(t *testing.T, w *watched) { w.write(t, "a token=t2\nb token:t3s3cret\n") }, "err=\"line 2: field 1 after the name: is not one of"},
		"gone":      {func(t *testing.T, w *watched) { os.Remove(w.path) }, "no such file or directory"},
		"no tokens": {func(t *testing.T, w *watched) { w.write(t, "") }, "has no tokens any more"},
		"peers":     {func(t *testing.T, w *watched) { w.replace(t, "# peers\n\n* token=t2") }, "line 3: names peers, which need a tenant header"},
		"a directory": {func(t *testing.T, w *watched) {
			os.Remove(w.path)
			if err := os.Mkdir(w.path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := watch(t, "a token=t1", tenants.Options{NoPeers: true})
				c.spoil(t, w)
				look()
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(t, "t1")
				w.wantReads(t, "0", "1", "0")
				if text := w.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, c.says) ||
					!strings.Contains(text, "level=ERROR") || strings.Contains(text, "s3cret") {
					t.Errorf("logged %s", text)
				}
				os.Remove(w.path)
				w.write(t, "a token=t1") // as before
				look()
				w.wantReads(t, "1", "1", "1")
				w.write(t, "a token=t1 token=t2")
				look()
				w.want(t, "t1", "t2")
			})
		})
	}
}

// TestHalfWrittenFileIsNotTaken checks that a file is read only when it stops changing.
func TestHalfWrittenFileIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "a token=t1\nb token=t2", tenants.Options{Every: 10 * time.Second})
		time.Sleep(5 * time.Second)
		w.write(t, "a token=t1 token=t3\n")
		time.Sleep(10 * time.Second)
		w.want(t, "t1", "t2")
		w.write(t, "a token=t1 token=t3\nb token=t2")
		time.Sleep(10 * time.Second)
		w.want(t, "t1", "t2")
		time.Sleep(10 * time.Second)
		w.want(t, "t1", "t2", "t3")
		w.wantReads(t, "1", "0", "1")
	})
}

// TestFileChangesRightAfterOpen changes the file after Open without changing its size and time.
func TestFileChangesRightAfterOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "a token=t1", tenants.Options{})
		info, err := os.Stat(w.path)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "a token=t2")
		if err := os.Chtimes(w.path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		look()
		w.want(t, "t2")
	})
}

// TestTokensMayCome adds tokens to a file that had only limits.
func TestTokensMayCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, "a rate=5", tenants.Options{})
		if w.Table().Secured() {
			t.Error("secured")
		}
		w.write(t, "* token=t1")
		look()
		w.want(t, "t1")
	})
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		path string
		opts *tenants.Options
		says string
	}{
		"missing":   {filepath.Join(dir, "none"), nil, "tenants file " + filepath.Join(dir, "none") + ": no such file or directory"},
		"directory": {dir, nil, "is a directory"},
		"broken":    {path("broken", "\na token=s3cret \"s3cret\""), nil, "broken: line 2: field 2"},
		"peers":     {path("peers", "* token=s3cret"), &tenants.Options{NoPeers: true}, "line 1: names peers"},
		"interval":  {path("good", "a rate=1"), &tenants.Options{Every: -1}, "above 0"},
	} {
		_, err := tenants.Open(c.path, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want …%s…", name, err, c.says)
		}
	}
	if _, err := tenants.Open(path("good", "* token=x"), nil); err != nil {
		t.Errorf("in order: %v", err)
	}
}

// TestLookBesideReaders checks the file while others use it.
func TestLookBesideReaders(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants")
	texts := []string{"a token=t1", "a token=t1 rate=3"}
	if err := os.WriteFile(path, []byte(texts[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := tenants.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 200 {
				f.Look()
			}
		})
		wg.Go(func() {
			for range 2000 {
				if c, ok := f.Table().Caller("t1"); !ok || c.Tenant != "a" {
					t.Error("the token is gone for a moment")
				}
				if rate := f.Table().Limits("a").Rate; rate != 0 && rate != 3 {
					t.Errorf("rate %v", rate)
				}
			}
		})
	}
	for i := range 50 {
		other := path + ".new"
		if err := os.WriteFile(other, []byte(texts[i%2]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
