package memcache_test

import (
	"testing"

	"github.com/timeblob/timeblob/internal/dnstest"
	"github.com/timeblob/timeblob/memcache"
)

// TestRecordsOfARealResolver finds servers as a collector in a cluster does.
func TestRecordsOfARealResolver(t *testing.T) {
	t.Parallel()
	dns := dnstest.Start(t)
	dns.SetSRV("_memcached._tcp.cache.test", 11211, "one.cache.test", "two.cache.test")
	dns.SetA("one.cache.test", [4]byte{192, 0, 2, 1})
	dns.SetA("two.cache.test", [4]byte{192, 0, 2, 2})
	servers := newFarm("192.0.2.1:11211", "192.0.2.2:11211")
	t.Cleanup(servers.wait)
	tier := open(t, memcache.SRV("memcached", "cache.test."),
		memcache.Options{Resolver: dns.Resolver(), Dial: servers.dial, Timeout: patience})
	if got := spread(t, tier, servers); got != "ab" {
		t.Errorf("%q are used, want both", got)
	}
}
