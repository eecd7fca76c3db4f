package memcache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// patience is the timeout of tests in which no call may time out, even on a busy
// machine.
const patience = 30 * time.Second

// start starts n memcached.
func start(t testing.TB, n int) (addresses []string, processes []*servertest.Process) {
	t.Helper()
	for range n {
		address, process := servertest.Memcached(t)
		addresses, processes = append(addresses, address), append(processes, process)
	}
	return addresses, processes
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d servers", n), func(t *testing.T) {
			t.Parallel()
			addresses, _ := start(t, n)
			tiertest.RunCache(t, func(t *testing.T) tiered.Tier {
				return open(t, memcache.List(addresses...), memcache.Options{TTL: time.Hour, Timeout: patience})
			})
		})
	}
}

// texts is a codec of strings.
type texts struct{}

func (texts) Encode(s string) ([]byte, error)    { return []byte(s), nil }
func (texts) Decode(blob []byte) (string, error) { return string(blob), nil }

// stack is a store without memory over a tier on three memcached.
type stack struct {
	store     *tiered.Store[string]
	tier      *memcache.Tier
	reg       *prometheus.Registry
	keys      []string
	refs      []blob.Ref // of keys
	processes []*servertest.Process
}

// newStack returns a stack with 60 values in the authority and in the cache.
func newStack(t *testing.T) *stack {
	t.Helper()
	addresses, processes := start(t, 3)
	s := &stack{keys: numbered(60), processes: processes, reg: prometheus.NewRegistry()}
	s.tier = open(t, memcache.List(addresses...), memcache.Options{
		Failures: 3, Cooldown: 300 * time.Millisecond, TTL: time.Hour, Registerer: s.reg})
	store, err := tiered.New(texts{}, new(tiered.MemTier), &tiered.Options[string]{
		Caches: []tiered.Cache{{Name: "memcache", Tier: s.tier}}, Memory: -1})
	if err != nil {
		t.Fatal(err)
	}
	s.store = store
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, key := range s.keys {
		s.refs = append(s.refs, blob.Ref{Key: key})
		if err := store.Put(t.Context(), key, []byte("blob of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	s.warm(t)
	return s
}

// warm reads until the cache holds every value.
func (s *stack) warm(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s.read(t)
		if blobs, err := tiertest.Found(t.Context(), s.tier, s.keys); err == nil && len(blobs) == len(s.keys) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cache does not have everything after %v", patience)
		}
	}
}

// read fails the test unless the store has every value.
func (s *stack) read(t *testing.T) {
	t.Helper()
	values, err := s.store.Get(t.Context(), s.refs)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	for i, r := range values {
		if key := s.keys[i]; r.Value != "blob of "+key {
			t.Fatalf("the value of %q is %q, found %v", key, r.Value, r.Found)
		}
	}
}

// TestFaultsOfServers reads from a store while one of its memcached servers fails
// and comes back. How long a read may take is checked elsewhere, by the clock of a
// synctest bubble.
func TestFaultsOfServers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ begin, end func(*servertest.Process) }{
		"killed":  {(*servertest.Process).Kill, (*servertest.Process).Restart},
		"stopped": {(*servertest.Process).Stop, (*servertest.Process).Cont},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			fault.begin(s.processes[1])
			for deadline := time.Now().Add(patience); value(t, s.reg, `timeblob_memcache_servers{state="open"}`) == 0; {
				s.read(t)
				if time.Now().After(deadline) {
					t.Fatalf("the circuit of the server is not open after %v", patience)
				}
			}
			for range 20 {
				s.read(t)
			}
			fault.end(s.processes[1])
			s.warm(t)
		})
	}
}

// TestRestartIsNotSeen restarts the server, so that pooled connections are closed: callers see no error.
func TestRestartIsNotSeen(t *testing.T) {
	t.Parallel()
	addresses, processes := start(t, 1)
	tier := open(t, memcache.List(addresses...), memcache.Options{Timeout: patience})
	put(t, tier, numbered(10)...)
	for range 3 {
		processes[0].Restart()
		blobs, err := tiertest.Found(t.Context(), tier, numbered(10))
		if err != nil || len(blobs) != 0 {
			t.Errorf("Get after a restart: %d blobs, %v; want none, and no error", len(blobs), err)
		}
		processes[0].Restart()
		put(t, tier, numbered(10)...)
		found(t, tier, numbered(10)...)
	}
}

// TestDefaultLimitFitsDefaultServers stores a blob of the largest default size under a key of
// the greatest length.
func TestDefaultLimitFitsDefaultServers(t *testing.T) {
	t.Parallel()
	addresses, _ := start(t, 1)
	tier := open(t, memcache.List(addresses...), memcache.Options{Timeout: patience})
	key, blob := strings.Repeat("k", 250), tiertest.Blob(1<<20-512)
	if err := tier.Put(t.Context(), key, blob); err != nil {
		t.Fatalf("Put: %v", err)
	}
	blobs, err := tiertest.Found(t.Context(), tier, []string{key})
	if err != nil || !bytes.Equal(blobs[key], blob) {
		t.Errorf("Get found %d bytes, %v", len(blobs[key]), err)
	}
	if err := tier.Put(t.Context(), "more", tiertest.Blob(1<<20-511)); err != nil {
		t.Errorf("Put of one byte more: %v", err)
	}
	if blobs, err := tiertest.Found(t.Context(), tier, []string{"more"}); err != nil || len(blobs) != 0 {
		t.Errorf("Get of what was skipped: %d blobs, %v", len(blobs), err)
	}
}

// TestServerWithALowerLimitIsUsed uses a server that refuses blobs below the tier's own
// limit. The refusals must not open the server's circuit.
func TestServerWithALowerLimitIsUsed(t *testing.T) {
	t.Parallel()
	address, _ := servertest.Memcached(t, "-I", "512k")
	tier := open(t, memcache.List(address), memcache.Options{Timeout: patience})
	put(t, tier, "small")
	for range 10 {
		if err := tier.Put(t.Context(), "big", tiertest.Blob(700_000)); err == nil {
			t.Fatal("Put: no error; is the server's limit not in force?")
		}
	}
	found(t, tier, "small")
}

// TestServersExpireItems reads an item's remaining lifetime with memcached's meta
// commands.
func TestServersExpireItems(t *testing.T) {
	t.Parallel()
	addresses, _ := start(t, 1)
	for ttl, seconds := range map[time.Duration]int{0: 30, 1500 * time.Millisecond: 2, 30 * 24 * time.Hour: 2592000} {
		t.Run(ttl.String(), func(t *testing.T) {
			t.Parallel()
			tier := open(t, memcache.List(addresses...), memcache.Options{TTL: ttl, Timeout: patience})
			key := tiertest.Key()
			begun := time.Now()
			put(t, tier, key)
			got := say(t, addresses[0], "mg "+key+" t\r\nquit\r\n")
			passed := int(time.Since(begun)/time.Second) + 1 // at most, since memcached counts whole seconds
			var left int
			if _, err := fmt.Sscanf(got, "HD t%d", &left); err != nil && passed <= seconds {
				t.Fatalf("memcached says %q: %v", got, err)
			} else if err == nil && (left > seconds || left < seconds-passed) {
				t.Errorf("%d s are left of %d after at most %d s", left, seconds, passed)
			}
		})
	}
}

func TestExpiredItemsAreAbsent(t *testing.T) {
	t.Parallel()
	addresses, _ := start(t, 1)
	tier := open(t, memcache.List(addresses...), memcache.Options{TTL: time.Millisecond, Timeout: patience})
	put(t, tier, "a")
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		blobs, err := tiertest.Found(t.Context(), tier, []string{"a"})
		if err != nil {
			t.Fatal(err)
		}
		if len(blobs) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a second lasts more than %v", patience)
		}
	}
}

// TestBlobsAreStoredAsTheyAre reads a blob with the command that Scope's collectors use.
func TestBlobsAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	addresses, _ := start(t, 1)
	tier := open(t, memcache.List(addresses...), memcache.Options{Timeout: patience})
	put(t, tier, "k")
	const want = "VALUE k 0 9\r\nblob of k\r\nEND\r\n"
	if got := say(t, addresses[0], "get k\r\nquit\r\n"); got != want {
		t.Errorf("memcached says %q, want %q", got, want)
	}
}

// say sends commands and returns the answers. The last command must be quit.
func say(t *testing.T, address, commands string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, commands); err != nil {
		t.Fatal(err)
	}
	answers, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answers)
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	f := listen(t, "unix", path)
	tier := open(t, memcache.List(path), memcache.Options{Timeout: patience})
	put(t, tier, "a")
	found(t, tier, "a")
	if commands, _, _ := f.seen(); len(commands) != 2 {
		t.Errorf("the server got %q", commands)
	}
}
