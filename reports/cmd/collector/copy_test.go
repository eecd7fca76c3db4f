package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/tiered"
)

// TestCopyThereAndBack copies a directory to a table and a bucket, and these to another directory. All three
// answer the same windows alike.
func TestCopyThereAndBack(t *testing.T) {
	t.Parallel()
	first, second := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "data")
	idx, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	node := goldentest.Files(t, "k8s-node/*.gz")
	must(t, "import", "--data", first, goldentest.Path("hosts"))
	must(t, append([]string{"import", "--data", first, "--tenant", "t"}, node...)...)

	said := must(t, "copy", "--from", first, "--to", idx+","+blobs, "--create")
	if want := fmt.Sprintf("copied %d values (", 60+len(node)); !strings.HasPrefix(said, want) || !strings.Contains(said, ", 0 present, of 2 tenants, ") {
		t.Errorf("said %q", said)
	}
	checkWindows(t, "--index", idx, "--blobs", blobs)
	said = must(t, "copy", "--from", "dir:"+first, "--to", idx+","+blobs)
	if want := fmt.Sprintf(", %d present, ", 60+len(node)); !strings.HasPrefix(said, "copied 0 values (0 B)") || !strings.Contains(said, want) {
		t.Errorf("again: said %q", said)
	}

	said = must(t, "copy", "--from", idx+","+blobs, "--to", second)
	if want := fmt.Sprintf("copied %d values (", 60+len(node)); !strings.HasPrefix(said, want) {
		t.Errorf("back: said %q", said)
	}
	checkWindows(t, "--data", second)
	all := []string{"query", "--json", "--tenant", "t", "--start", "0", "--end", "now", "--data"}
	goldentest.Equal(t, []byte(must(t, append(all, second)...)), []byte(must(t, append(all, first)...)), nil)
}

// TestCopyPart copies some tenants and a part of the time.
func TestCopyPart(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "data")
	dir := t.TempDir()
	for i := range 4 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", int64(i)*int64(time.Hour))), sample("one", i))
	}
	for _, tenant := range []string{"a", "b", ""} {
		must(t, "import", "--data", source, "--tenant", tenant, dir)
	}
	idx, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	create(t, idx, blobs)
	for _, to := range []string{filepath.Join(t.TempDir(), "data"), idx + "," + blobs} {
		for i, c := range []struct{ args, want string }{
			{"--tenant b --start 3600 --end 7201", "copied 2 values|, 0 present, of 1 tenant,"},
			{"--tenant a,b --end 7200", "copied 3 values|, 1 present, of 2 tenants,"},
			{"--tenant a --tenant b", "copied 3 values|, 5 present, of 2 tenants,"},
			{"", "copied 4 values|, 8 present, of 3 tenants,"},
			{"--tenant c", "copied 0 values|, 0 present, of 0 tenants,"},
			{"--tenant a,c", "copied 0 values|, 4 present, of 1 tenant,"},
			{"--start 3600 --end 3600", "copied 0 values|, 0 present, of 0 tenants,"},
		} {
			r := collect(t, append([]string{"copy", "--from", source, "--to", to}, strings.Fields(c.args)...)...)
			head, tail, _ := strings.Cut(c.want, "|")
			if r.code != 0 || !strings.HasPrefix(r.stdout, head) || !strings.Contains(r.stdout, tail) {
				t.Errorf("to %.9s, copy %d: exit %d, said %q, %q, want %q", to, i, r.code, r.stdout, r.stderr, c.want)
			}
			if nothing := strings.Contains(r.stderr, `tenant "c" has nothing to copy`); nothing != strings.Contains(c.args, "c") {
				t.Errorf("to %.9s, copy %d: said %q", to, i, r.stderr)
			}
		}
		back := filepath.Join(t.TempDir(), "data") // by the rows of named tenants
		said := must(t, "copy", "--from", to, "--to", back, "--tenant", "a", "--start", "0", "--end", "7260")
		if !strings.HasPrefix(said, "copied 3 values") {
			t.Errorf("from %.9s: said %q", to, said)
		}
	}
}

// TestCopyKilled kills a copy and repeats it.
func TestCopyKilled(t *testing.T) {
	t.Parallel()
	const values = 400
	dir, source := t.TempDir(), filepath.Join(t.TempDir(), "data")
	for i := range values {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.msgpack.gz", 1_700_000_000_000_000_000+int64(i))), sample(fmt.Sprint("host-", i), 5))
	}
	must(t, "import", "--data", source, dir)
	idx, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	store := create(t, idx, blobs)
	for range 2 {
		killCopy(t, source, idx, blobs)
	}
	said := must(t, "copy", "--from", source, "--to", idx+","+blobs)
	var copied int
	if _, err := fmt.Sscanf(said, "copied %d values", &copied); err != nil || copied == 0 || copied == values {
		t.Errorf("said %q, %v: nothing was interrupted", said, err)
	}
	got := must(t, append([]string{"query", "--json", "--start", "1600000000", "--end", "1700000001"}, store...)...)
	goldentest.Equal(t, []byte(got), []byte(must(t, "merge", "--json", dir)), anyID)
}

// killCopy kills a copy once it has put some values. Four puts run at a time, each is slow, and the copy
// cannot finish.
func killCopy(t *testing.T, source, idx, blobs string) {
	t.Helper()
	slow, puts := slowly(t, blobs, 100)
	cmd := child("copy", "--from", source, "--to", idx+","+slow, "--parallel", "4")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for range 12 {
		select {
		case <-puts:
		case err := <-ended:
			t.Fatalf("copy ended before it was killed: %v", err)
		}
	}
	cmd.Process.Kill()
	if err := <-ended; err == nil {
		t.Fatal("copy was done before it was killed")
	}
}

// slowly returns a bucket's URL through a proxy that delays each put, counts it, and passes on a limited
// number of puts.
func slowly(t *testing.T, blobs string, most int64) (slow string, puts <-chan struct{}) {
	t.Helper()
	host := must1(url.Parse(blobs)).Host
	begun, n := make(chan struct{}, 10_000), new(atomic.Int64)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: host})
		r.Out.Host = r.In.Host // the host is signed
	}, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			begun <- struct{}{}
			time.Sleep(20 * time.Millisecond)
			if n.Add(1) > most {
				io.Copy(io.Discard, r.Body) // reads to the end
				<-r.Context().Done()
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(blobs, host, server.Listener.Addr().String(), 1), begun
}

// The rest copies between stores in memory.

// memory is a store in memory that keeps entries and blobs separately.
func memory(t *testing.T, tenants ...string) *stores.Store {
	t.Helper()
	idx, authority := index.NewMemIndex(), new(tiered.MemTier)
	s := &stores.Store{Index: idx, Writer: bucket.NewWriter(idx), Authority: authority, Close: func() error { return nil }}
	s.Rows = func(context.Context, []string, int64, int64) (rows []index.Row, err error) {
		for _, tenant := range tenants {
			rows = append(rows, index.RowAt(tenant, 0))
		}
		return rows, nil
	}
	return s
}

// at returns the entry of an instant in the first hour.
func at(tenant string, t int64) (index.Row, index.Entry) {
	row := index.RowAt(tenant, t)
	return row, index.Entry{Time: t, Key: row.BlobKey(t)}
}

// fill puts n values.
func fill(t *testing.T, s *stores.Store, tenant string, n int) {
	t.Helper()
	for i := range n {
		row, e := at(tenant, int64(i))
		if err := s.Commit(t.Context(), row, e, fmt.Append(nil, tenant, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// copyAll copies everything and returns the copier, the output and the error.
func copyAll(ctx context.Context, source, target *stores.Store) (k *copier, stdout, stderr string, err error) {
	var out, warned buffer
	k = newCopier(&cli.Process{Stdout: &out, Stderr: terminal.NewWriter(&warned)}, source, target, 4)
	k.from, k.to = 0, int64(time.Hour)
	err = k.copy(ctx, nil)
	return k, out.String(), warned.String(), err
}

// TestCopySingleFaults checks that values which cannot be copied are named, and the others are copied.
func TestCopySingleFaults(t *testing.T) {
	t.Parallel()
	source, target := memory(t, "a"), memory(t)
	fill(t, source, "a", 10)
	row, lost := at("a", 10)
	if err := source.Index.Put(t.Context(), row, lost); err != nil {
		t.Fatal(err)
	}
	put := func(i int64, key string, blob string) {
		if err := target.Authority.Put(t.Context(), key, []byte(blob)); err != nil {
			t.Fatal(err)
		}
		if i >= 0 {
			if err := target.Index.Put(t.Context(), row, index.Entry{Time: i, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, e := at("a", 1)
	put(1, e.Key, "a1") // present
	_, e = at("a", 2)
	put(-1, e.Key, "a2") // as an interrupted copy leaves it
	_, e = at("a", 3)
	put(-1, e.Key, "another")
	put(4, "k", "another")
	_, damaged := at("a", 11)
	damaged.Sum = blob.SumOf([]byte("a11"))
	if err := source.Commit(t.Context(), row, damaged, []byte("a12")); err != nil {
		t.Fatal(err)
	}
	k, stdout, stderr, err := copyAll(t.Context(), source, target)
	if err == nil || err.Error() != "4 values not copied" || !strings.HasPrefix(stdout, "copied 7 values (14 B), 1 present, of 1 tenant, in ") {
		t.Errorf("error %v, said %q", err, stdout)
	}
	for _, want := range []string{
		"instant 10, blob " + lost.Key + ": the source's index names this blob",
		"instant 3, blob " + e.Key + ": the destination holds another blob",
		"instant 4, blob ",
		"instant 11, blob " + damaged.Key + ": the blob is damaged",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in %s", want, stderr)
		}
	}
	entries, err := target.Index.Query(t.Context(), row, 0, 100)
	if err != nil || len(entries) != 9 || k.failed.Load() != 4 {
		t.Errorf("%d entries, %v, %d failed", len(entries), err, k.failed.Load())
	}
	if _, e := at("a", 4); must1(target.Authority.Get(t.Context(), []string{e.Key}))[0] != nil {
		t.Error("a blob was stored for an instant that is taken")
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// slowTier counts reads under way, and may fail them.
type slowTier struct {
	tiered.Tier
	mu          sync.Mutex
	reads, most int // guarded by mu
	gets        atomic.Int64
	err         error
	during      func(get int64)
}

func (s *slowTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	s.count(1)
	defer s.count(-1)
	n := s.gets.Add(1)
	if s.during != nil {
		s.during(n)
	}
	if s.err != nil || ctx.Err() != nil {
		return nil, errors.Join(s.err, ctx.Err())
	}
	time.Sleep(time.Millisecond)
	return s.Tier.Get(ctx, keys)
}

func (s *slowTier) count(d int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads += d
	s.most = max(s.most, s.reads)
}

// TestCopyIsBounded checks that a copy holds at most --parallel blobs in memory.
func TestCopyIsBounded(t *testing.T) {
	t.Parallel()
	tenants := strings.Split("abcdefghijkl", "")
	source, target := memory(t, tenants...), memory(t)
	for _, tenant := range tenants {
		fill(t, source, tenant, 10)
	}
	tier := &slowTier{Tier: source.Authority}
	source.Authority = tier
	_, stdout, stderr, err := copyAll(t.Context(), source, target)
	if err != nil || stderr != "" || !strings.HasPrefix(stdout, "copied 120 values") || !strings.Contains(stdout, "of 12 tenants") {
		t.Errorf("error %v, said %q, %q", err, stdout, stderr)
	}
	if tier.most > 4 || tier.most < 2 {
		t.Errorf("%d blobs at a time, want up to 4", tier.most)
	}
}

// TestCopyGivesUp checks that a copy gives up on a store that fails repeatedly.
func TestCopyGivesUp(t *testing.T) {
	t.Parallel()
	source := memory(t, "a")
	fill(t, source, "a", 500)
	tier := &slowTier{Tier: source.Authority, err: errors.New("disk on fire")}
	source.Authority = tier
	_, stdout, stderr, err := copyAll(t.Context(), source, memory(t))
	if err == nil || !strings.Contains(err.Error(), "gave up") || !strings.Contains(err.Error(), "values not copied") {
		t.Errorf("error %v", err)
	}
	if n := tier.gets.Load(); n > maxFaults+4 || !strings.HasPrefix(stdout, "copied 0 values") ||
		strings.Count(stderr, "disk on fire\n") < maxFaults {
		t.Errorf("%d reads, said %q, %q", n, stdout, stderr)
	}
}

// TestCopyCancelled checks that a copy ends soon after an interrupt, says so, and can be resumed.
func TestCopyCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	source, target := memory(t, "a", "b"), memory(t)
	fill(t, source, "a", 100)
	fill(t, source, "b", 100)
	tier := &slowTier{Tier: source.Authority, during: func(get int64) {
		if get == 20 {
			cancel()
		}
	}}
	source.Authority = tier
	k, _, stderr, err := copyAll(ctx, source, target)
	before := k.copied.Load()
	if !errors.Is(err, cli.ErrInterrupted) || stderr != "" || before == 0 || before > 40 {
		t.Errorf("error %v, %d copied, said %q", err, before, stderr)
	}
	k, _, _, err = copyAll(t.Context(), source, target)
	if err != nil || k.copied.Load()+before != 200 || k.present.Load() != before {
		t.Errorf("again: error %v, %d copied and %d present after %d", err, k.copied.Load(), k.present.Load(), before)
	}
}

// TestCopyLeavesOutWhatIsTooOld checks that values older than the destination's retention are not copied.
func TestCopyLeavesOutWhatIsTooOld(t *testing.T) {
	t.Parallel()
	source, target := memory(t, "a"), memory(t)
	fill(t, source, "a", 3)
	target.Retention = time.Hour
	_, stdout, _, err := copyAll(t.Context(), source, target)
	if err != nil || !strings.Contains(stdout, ", 3 too old for the destination's retention, of 1 tenant") {
		t.Errorf("error %v, said %q", err, stdout)
	}
	_, e := at("a", 0)
	if must1(target.Authority.Get(t.Context(), []string{e.Key}))[0] != nil {
		t.Error("a blob was stored all the same")
	}
}
