package memcache_test

import (
	"testing"
	"time"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// BenchmarkTier uses a memcached on this machine. System calls and copies take most of the time.
func BenchmarkTier(b *testing.B) {
	addresses, _ := start(b, 1)
	tiertest.RunBenchmarks(b, func(b *testing.B) tiered.Tier {
		return open(b, memcache.List(addresses...), memcache.Options{TTL: time.Hour, Timeout: patience})
	})
}

// BenchmarkServerLeftAlone measures a read while its server is down and its circuit open.
func BenchmarkServerLeftAlone(b *testing.B) {
	f := &fake{orders: orders{down: true}}
	tier := openFake(b, f, memcache.Options{Cooldown: time.Hour, Failures: 1})
	keys := numbered(5)
	_, _ = tier.Get(b.Context(), keys) // fails, and opens the circuit
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tier.Get(b.Context(), keys); err == nil {
			b.Fatal("no error")
		}
	}
}

// BenchmarkSelection finds the servers of 100 keys.
func BenchmarkSelection(b *testing.B) {
	f := &fake{orders: orders{down: true}}
	opts := memcache.Options{Cooldown: time.Hour, Failures: 1, Dial: f.dial}
	tier := open(b, memcache.List("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"), opts)
	keys := numbered(100)
	_, _ = tier.Get(b.Context(), keys)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tier.Get(b.Context(), keys); err == nil {
			b.Fatal("no error")
		}
	}
}
