package memcache_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered"
)

// A store reads through memcached before it asks the authority. In a cluster
// the servers would be memcache.SRV("memcached", "memcached.default.svc.cluster.local").
func ExampleOpen() {
	address, stop := serveOne()
	defer stop()
	ctx := context.Background()
	cache, err := memcache.Open(ctx, memcache.List(address), &memcache.Options{
		TTL:    time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()
	store, err := tiered.New(texts{}, new(tiered.MemTier), &tiered.Options[string]{
		Caches: []tiered.Cache{{Name: "memcache", Tier: cache}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Put(ctx, "key", []byte("value")))
	fmt.Println(store.Close(ctx)) // waits for blobs on their way to the cache

	blobs, err := cache.Get(ctx, []string{"key", "another"})
	fmt.Printf("%q %v\n", blobs, err)
	// Output:
	// <nil>
	// <nil>
	// ["value" ""] <nil>
}

// serveOne runs a memcached that answers the example.
func serveOne() (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	f := new(fake)
	f.serving.Go(func() { f.accept(listener) })
	return listener.Addr().String(), func() {
		_ = listener.Close()
		f.serving.Wait()
	}
}
