package memcache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gomemcache "github.com/bradfitz/gomemcache/memcache"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// resolver is a DNS with one SRV record, whose targets are a., b. and so on, and with the hosts in it.
type resolver struct {
	mu      sync.Mutex
	targets []string
	hosts   map[string]string // target to comma-separated addresses; other hosts fail
	err     error             // the error of every lookup
	lookups int               // lookups of the record
}

// newResolver returns a resolver for the hosts a. to d. with the addresses 192.0.2.1 to 4. The record has the
// given targets.
func newResolver(targets ...string) *resolver {
	r := &resolver{targets: targets, hosts: make(map[string]string)}
	for i, target := range []string{"a.", "b.", "c.", "d."} {
		r.hosts[target] = fmt.Sprintf("192.0.2.%d", i+1)
	}
	return r
}

func (r *resolver) set(change func(*resolver)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

func (r *resolver) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups++
	if asked := fmt.Sprintf("_%s._%s.%s", service, proto, name); asked != "_memcached._tcp.cache.test" {
		return "", nil, fmt.Errorf("lookup of %q", asked)
	}
	records := make([]*net.SRV, 0, len(r.targets))
	for _, target := range r.targets {
		records = append(records, &net.SRV{Target: target, Port: 11211})
	}
	return "", records, errors.Join(r.err, ctx.Err())
}

func (r *resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses, ok := r.hosts[host]
	if !ok {
		return nil, fmt.Errorf("lookup %s: no such host", host)
	}
	return strings.Split(addresses, ","), errors.Join(r.err, ctx.Err())
}

// onRecord runs a test in a synctest bubble on a tier with the servers of a record.
func onRecord(t *testing.T, r *resolver, opts memcache.Options, test func(*testing.T, *memcache.Tier, farm)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		servers := newFarm("192.0.2.1:11211", "192.0.2.2:11211", "192.0.2.3:11211", "192.0.2.4:11211")
		t.Cleanup(servers.wait)
		opts.Resolver, opts.Dial = r, servers.dial
		test(t, open(t, memcache.SRV("memcached", "cache.test"), opts), servers)
	})
}

// holders returns the number of items of each server, in the order of addresses.
func (f farm) holders() (counts []int) {
	for _, address := range slices.Sorted(maps.Keys(f)) {
		f[address].set(func(f *fake) { counts = append(counts, len(f.items)) })
	}
	return counts
}

func (f farm) wait() {
	for _, server := range f {
		server.serving.Wait()
	}
}

// forget empties all servers.
func (f farm) forget() {
	for _, server := range f {
		server.set(func(f *fake) { f.items = nil })
	}
}

// spread stores 100 items and returns which servers got any.
func spread(t *testing.T, tier *memcache.Tier, servers farm) string {
	t.Helper()
	servers.forget()
	put(t, tier, numbered(100)...)
	found(t, tier, numbered(100)...)
	var used strings.Builder
	for i, count := range servers.holders() {
		if count > 0 {
			used.WriteByte("abcd"[i])
		}
	}
	return used.String()
}

const oneRefresh = 70 * time.Second // a minute, a tenth more, and some slack

func TestServersFollowTheRecord(t *testing.T) {
	r := newResolver("b.", "a.")
	reg := prometheus.NewRegistry()
	onRecord(t, r, memcache.Options{Registerer: reg}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		steps := []struct {
			name   string
			change func(*resolver)
			want   string
		}{
			{"as found first", func(*resolver) {}, "ab"},
			{"one more", func(r *resolver) { r.targets = []string{"c.", "a.", "b."} }, "abc"},
			{"lookups fail", func(r *resolver) { r.targets, r.err = []string{"d."}, errors.New("no DNS") }, "abc"},
			{"the record is empty", func(r *resolver) { r.targets, r.err = nil, nil }, "abc"},
			{"another one", func(r *resolver) { r.targets = []string{"d."} }, "d"},
			{"all", func(r *resolver) { r.targets = []string{"d.", "c.", "b.", "a."} }, "abcd"},
		}
		for _, step := range steps {
			r.set(step.change)
			time.Sleep(oneRefresh)
			if got := spread(t, tier, servers); got != step.want {
				t.Errorf("%s: %s are used, want %s", step.name, got, step.want)
			}
			if got := value(t, reg, `timeblob_memcache_servers{state="closed"}`); got != float64(len(step.want)) {
				t.Errorf("%s: the gauge says %v servers, want %d", step.name, got, len(step.want))
			}
		}
		if value(t, reg, "timeblob_memcache_lookup_failures_total") == 0 {
			t.Error("failed lookups were not counted")
		}
	})
}

func TestRefreshesComeInTheirTime(t *testing.T) {
	r := newResolver("a.")
	onRecord(t, r, memcache.Options{}, func(t *testing.T, _ *memcache.Tier, _ farm) {
		count := func(d time.Duration) (n int) {
			r.set(func(r *resolver) { r.lookups = 0 })
			time.Sleep(d)
			r.set(func(r *resolver) { n = r.lookups })
			return n
		}
		if n := count(time.Hour); n < 54 || n > 67 {
			t.Errorf("%d lookups in an hour, want about 60", n)
		}
		r.set(func(r *resolver) { r.err = errors.New("no DNS") })
		count(oneRefresh)
		if n := count(time.Hour); n < 54 || n > 80 {
			t.Errorf("%d lookups in an hour of failures, want not many more than 60", n)
		}
	})
}

func TestOpenWithoutDNS(t *testing.T) {
	r := newResolver("a.")
	r.err = errors.New("no DNS")
	onRecord(t, r, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		get(t, t.Context(), tier, nil, wants{})
		get(t, t.Context(), tier, []string{"a"}, wants{err: memcache.ErrNoServers})
		if err := tier.Put(t.Context(), "a", nil); !errors.Is(err, memcache.ErrNoServers) {
			t.Errorf("Put: %v", err)
		}
		r.set(func(r *resolver) { r.err = nil })
		time.Sleep(1200 * time.Millisecond)
		if got := spread(t, tier, servers); got != "a" {
			t.Errorf("%q are used a second later, want a", got)
		}
	})
}

// TestServerWithoutAddressKeepsItsPlace has a name in the record that does not resolve: the keys of other
// servers must not move.
func TestServerWithoutAddressKeepsItsPlace(t *testing.T) {
	r := newResolver("a.", "b.", "c.")
	delete(r.hosts, "b.")
	onRecord(t, r, memcache.Options{Cooldown: time.Second}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		failed := 0
		for _, key := range numbered(100) {
			if tier.Put(t.Context(), key, []byte("blob of "+key)) != nil {
				failed++
			}
		}
		holders := servers.holders()
		if failed < 20 || holders[0] < 20 || holders[2] < 20 {
			t.Fatalf("%d puts failed, and the servers hold %v", failed, holders)
		}
		r.set(func(r *resolver) { r.hosts["b."] = "192.0.2.2" })
		time.Sleep(oneRefresh)
		put(t, tier, numbered(100)...)
		if again := servers.holders(); again[0] != holders[0] || again[1] != failed || again[2] != holders[2] {
			t.Errorf("the servers hold %v, and held %v", again, holders)
		}
	})
}

// TestAddressesOutliveDNS opens new connections while no name resolves.
func TestAddressesOutliveDNS(t *testing.T) {
	r := newResolver("a.", "b.")
	onRecord(t, r, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		r.set(func(r *resolver) { r.hosts = nil })
		time.Sleep(oneRefresh)
		if got := spread(t, tier, servers); got != "ab" {
			t.Errorf("%s are used, want ab", got)
		}
	})
}

func TestServerThatMovesIsFollowed(t *testing.T) {
	r := newResolver("a.")
	onRecord(t, r, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		put(t, tier, "before")
		r.set(func(r *resolver) { r.hosts["a."] = "192.0.2.4" })
		servers["192.0.2.1:11211"].set(func(f *fake) { f.down = true })
		time.Sleep(oneRefresh)
		if got := spread(t, tier, servers); got != "d" {
			t.Errorf("%s are used, want d", got)
		}
	})
}

func TestAddressesOfAServerAreTriedInOrder(t *testing.T) {
	t.Parallel()
	r, f := newResolver("a."), new(fake)
	r.hosts["a."] = "2001:db8::1,192.0.2.9,192.0.2.1"
	t.Cleanup(f.serving.Wait)
	var tried []string
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		tried = append(tried, network+" "+address)
		if address != "192.0.2.1:11211" {
			return nil, errors.New("no route")
		}
		return f.dial(ctx, network, address)
	}
	put(t, open(t, memcache.SRV("memcached", "cache.test"), memcache.Options{Resolver: r, Dial: dial, Timeout: patience}), "a")
	if want := []string{"tcp 192.0.2.9:11211", "tcp 192.0.2.1:11211"}; !slices.Equal(tried, want) {
		t.Errorf("dialled %q, want %q", tried, want)
	}
}

// TestChangesDropNoRequests reads while servers come and go.
func TestChangesDropNoRequests(t *testing.T) {
	r := newResolver("a.", "b.", "c.")
	opts := memcache.Options{Refresh: 10 * time.Millisecond}
	onRecord(t, r, opts, func(t *testing.T, tier *memcache.Tier, servers farm) {
		for _, server := range servers {
			server.set(func(f *fake) { f.delay = 7 * time.Millisecond })
		}
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				for range 300 {
					if _, err := tiertest.Found(t.Context(), tier, numbered(20)); err != nil {
						t.Errorf("Get: %v", err)
					}
				}
			})
		}
		lists := [][]string{{"a.", "b."}, {"d."}, {"a.", "c.", "d."}, {"b.", "c."}}
		for i := range 200 {
			r.set(func(r *resolver) { r.targets = lists[i%len(lists)] })
			time.Sleep(10 * time.Millisecond)
		}
		readers.Wait()
	})
}

// TestSelectionIsGomemcaches compares with the selector of Scope's client, which gets the servers in Scope's
// order.
func TestSelectionIsGomemcaches(t *testing.T) {
	r := newResolver("c.", "a.", "d.", "b.")
	onRecord(t, r, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		var scope gomemcache.ServerList
		if err := scope.SetServers(slices.Sorted(maps.Keys(servers))...); err != nil {
			t.Fatal(err)
		}
		keys := numbered(500)
		put(t, tier, keys...)
		for _, key := range keys {
			want, err := scope.PickServer(key)
			if err != nil {
				t.Fatal(err)
			}
			servers[want.String()].set(func(f *fake) {
				if _, ok := f.items[key]; !ok {
					t.Errorf("%s does not hold %q", want, key)
				}
			})
		}
	})
}

// TestNamesAreSortedWithTheirDots has targets whose order depends on the dot at the end: Scope sorts
// "x.:11211" before "x.y.:11211".
func TestNamesAreSortedWithTheirDots(t *testing.T) {
	r := newResolver("x.y.", "x.")
	r.hosts = map[string]string{"x.": "192.0.2.1", "x.y.": "192.0.2.2"}
	onRecord(t, r, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, servers farm) {
		put(t, tier, "a", "k") // an odd CRC-32: the second of two servers
		if got := servers.holders(); !slices.Equal(got, []int{0, 2, 0, 0}) {
			t.Errorf("the servers hold %v", got)
		}
	})
}

func TestServersThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for name, servers := range map[string]memcache.Servers{
		"none":      {},
		"no list":   memcache.List(),
		"no port":   memcache.List("host"),
		"no host":   memcache.List(":11211"),
		"empty":     memcache.List("a:1", ""),
		"no name":   memcache.SRV("memcached", ""),
		"no record": memcache.SRV("", "host"),
		"port 0":    memcache.List("a:0"),
		"port":      memcache.List("a:99999"),
		"port name": memcache.List("a:memcached"),
		"SRV port":  memcache.SRV("memcached", "host:11211"),
		"SRV name":  memcache.SRV("_memcached._tcp", "host"),
		"SRV host":  memcache.SRV("memcached", "_memcached._tcp.host"),
	} {
		if tier, err := memcache.Open(t.Context(), servers, nil); err == nil {
			t.Errorf("%s: no error", name)
			_ = tier.Close()
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	opts := memcache.Options{Resolver: newResolver("a."), Logger: testLogger(t)}
	if _, err := memcache.Open(ctx, memcache.SRV("memcached", "cache.test"), &opts); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
}
