package tiered

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Names of the tiers that are not caches.
const (
	authorityName = "authority"
	memoryName    = "memory"
	storeName     = "store"
)

// Options of a Store; nil means the defaults.
type Options[T any] struct {
	// Caches are read in this order, nearest first, before the authority.
	Caches []Cache

	// Memory bounds the values kept in memory, in bytes. Default 64 MiB;
	// negative: none are kept.
	Memory int64
	// Size is how many bytes of memory a value takes. By default the store
	// measures some of the values that it decodes, with reflection, and learns
	// from them how much memory a byte of a blob takes. A key's length and 160
	// bytes are added to it.
	Size func(T) int64

	// Decoders is how many blobs the store decodes at a time, over all of its
	// callers. Default GOMAXPROCS.
	Decoders int

	// Registerer takes the metrics; nil: they are not registered. Stores that
	// share a registerer and a namespace share their metrics.
	Registerer prometheus.Registerer
	// Namespace begins the metrics' names; default "timeblob".
	Namespace string

	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Cache is a tier that may forget. Zero fields mean the defaults.
type Cache struct {
	Name string // in metrics; not empty, and each cache's own
	Tier Tier

	// Timeout bounds each of the cache's operations, so a cache that hangs
	// delays a read by no more. Default 500 ms.
	Timeout time.Duration
	// WriteBacks is how many blobs are written to the cache at a time.
	// Default 4.
	WriteBacks int
	// WriteBackBytes bounds the blobs that wait to be written, in bytes; what
	// does not fit is dropped and counted. Default 64 MiB.
	WriteBackBytes int64

	// SumsOnly keeps blobs without a known sum from the cache: the store does
	// not read them from it, and does not write back into it what it read
	// elsewhere. Then nobody who can write to the cache can change an answer.
	// Put still writes to the cache, because a later read needs the sum.
	SumsOnly bool
}

// withDefaults returns the options with their defaults filled in, or says
// what is wrong with them.
func (o *Options[T]) withDefaults() (Options[T], error) {
	var all Options[T]
	if o != nil {
		all = *o
	}
	setDefault(&all.Memory, 64<<20)
	setDefault(&all.Decoders, runtime.GOMAXPROCS(0))
	setDefault(&all.Namespace, "timeblob")
	if all.Now == nil {
		all.Now = time.Now
	}
	switch {
	case all.Decoders < 0:
		return all, errors.New("tiered: Options.Decoders must not be negative")
	}
	caches, err := checkCaches(all.Caches)
	all.Caches = caches
	return all, err
}

func setDefault[V comparable](field *V, value V) {
	var zero V
	if *field == zero {
		*field = value
	}
}

// checkCaches returns a copy with the defaults filled in.
func checkCaches(caches []Cache) ([]Cache, error) {
	checked := make([]Cache, 0, len(caches))
	names := map[string]bool{"": true, authorityName: true, memoryName: true, storeName: true}
	for i, c := range caches {
		setDefault(&c.Timeout, 500*time.Millisecond)
		setDefault(&c.WriteBacks, 4)
		setDefault(&c.WriteBackBytes, 64<<20)
		switch {
		case names[c.Name]:
			return nil, fmt.Errorf("tiered: Options.Caches[%d] needs a name of its own, not %q", i, c.Name)
		case c.Tier == nil:
			return nil, fmt.Errorf("tiered: cache %q has no tier", c.Name)
		case c.Timeout < 0 || c.WriteBacks < 0 || c.WriteBackBytes < 0:
			return nil, fmt.Errorf("tiered: the timeout and limits of cache %q must not be negative", c.Name)
		}
		names[c.Name] = true
		checked = append(checked, c)
	}
	return checked, nil
}
