package shortcuts

import (
	"context"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/worker"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// Bus carries the keys of shortcuts between services. natsbus.Bus is one.
type Bus interface {
	// Publish sends a payload to all subscribers of a subject. It returns when
	// ctx ends.
	Publish(ctx context.Context, subject string, payload []byte) error
	// Subscribe calls handle with each payload that is published to a subject,
	// until unsubscribe is called, once or more often. handle returns soon.
	// Neither Subscribe nor unsubscribe waits for anything, not even for a
	// running handle.
	Subscribe(subject string, handle func(payload []byte)) (unsubscribe func(), err error)
}

// Limits of the work for other services.
const (
	parallel      = 4           // shortcuts that are sent at a time, and as many that are fetched
	maxUnsent     = 64          // shortcuts that may wait to be sent
	maxUnsentSize = 16 << 20    // bytes of memory that they may take
	maxUnfetched  = 256         // keys that may wait to be fetched
	carryLimit    = time.Second // time to send or to fetch one shortcut
	knownKeys     = 1 << 12     // keys that a hub remembers, some 200 bytes each
)

// Config is what a Hub needs. All fields are required but Bus, Cache and
// Registerer.
type Config struct {
	Bus    Bus           // tells other services of shortcuts; nil for none
	Cache  tiered.Tier   // carries the reports to other services; nil for none
	Window time.Duration // how long a shortcut is kept

	// Check returns a report from another service as this one would keep it, or
	// why it must not.
	Check func(*report.Report) (*report.Report, error)

	Now        func() time.Time
	Registerer prometheus.Registerer // takes the metrics; nil for none
	Namespace  string                // leads the metrics' names
	Logger     *slog.Logger          // is told about what fails, at most once a second
}

// Hub keeps shortcuts until they are superseded, and signals the clients that
// wait for one. With a bus it also announces its shortcuts to other services,
// and receives theirs while a client waits.
//
// A shortcut has the same key in all services: the key that its blob would have
// if it had been stored at the instant it arrived. A hub accepts a key once. It
// is safe for concurrent use.
type Hub struct {
	Config
	store     *store
	waiters   waiters
	known     *lru.Cache[string, struct{}] // keys that were accepted lately
	metrics   *metrics
	codec     wire.Codec
	unsent    *semaphore.Weighted // bytes of reports that wait to be sent
	sending   *worker.Pool
	fetching  *worker.Pool
	following following
	warnings  rate.Sometimes
	ended     chan struct{} // closed by Close
}

// New returns a hub. Close it to release it.
func New(c Config) (*Hub, error) {
	m, err := newMetrics(c.Registerer, c.Namespace)
	if err != nil {
		return nil, err
	}
	known, err := lru.New[string, struct{}](knownKeys)
	if err != nil {
		return nil, err
	}
	return &Hub{Config: c, store: newStore(c.Window), known: known, metrics: m,
		codec: wire.Codec{MaxBytes: maxCarried}, unsent: semaphore.NewWeighted(maxUnsentSize),
		sending: worker.New(parallel, maxUnsent, carryLimit), fetching: worker.New(parallel, maxUnfetched, carryLimit),
		following: following{stop: make(map[string]func())},
		warnings:  rate.Sometimes{Interval: time.Second}, ended: make(chan struct{})}, nil
}

// CheckTenant returns an *index.TenantError for a tenant id that the hub cannot
// serve: one that index.CheckTenant refuses or, with a bus, one that is not a
// subject.
func (h *Hub) CheckTenant(tenant string) error {
	if h.Bus == nil {
		return index.CheckTenant(tenant)
	}
	_, err := subjectOf(tenant)
	return err
}

// newKey returns a new key for a shortcut that arrived now.
func (h *Hub) newKey(tenant string) string {
	for t := h.Now().UnixNano(); ; t++ {
		key := index.RowAt(tenant, t).BlobKey(t)
		if h.claim(key) {
			return key
		}
	}
}

// claim makes a key known. It returns false when the key was known already.
func (h *Hub) claim(key string) bool {
	known, _ := h.known.ContainsOrAdd(key, struct{}{})
	return !known
}

// keep keeps a shortcut until a regular report supersedes it. It returns false,
// and counts the shortcut as lost, when there is no room.
func (h *Hub) keep(tenant, key string, r *report.Report, probe string) bool {
	kept := h.store.add(tenant, key, r, probe, h.Now())
	if !kept {
		h.metrics.lost.Inc()
	}
	return kept
}

// Holds reports whether the hub may hold shortcuts of a tenant.
func (h *Hub) Holds(tenant string) bool { return h.store.holds(tenant) }

// Held returns the shortcuts that live answers of a tenant hold, the oldest
// first.
func (h *Hub) Held(tenant string) []Shortcut { return h.store.held(tenant, h.Now()) }

// Supersede drops the shortcuts that a regular report of the tenant replaces.
// The probe is the sender's ID, or empty.
func (h *Hub) Supersede(tenant string, r *report.Report, probe string) {
	h.store.supersede(tenant, r, probe)
}

// maxCarried bounds a shortcut from the cache when it is inflated, in bytes. A
// longer one would be too large to keep.
const maxCarried = 2 * maxTenantShortcutBytes
