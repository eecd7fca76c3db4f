package reports

import (
	"context"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

// Bus tells the services that share it of shortcuts. natsbus.Bus is one.
type Bus interface {
	// Publish hands a payload to all who subscribe to a subject. It returns
	// when ctx ends.
	Publish(ctx context.Context, subject string, payload []byte) error
	// Subscribe has what is published to a subject handed to handle, which
	// returns soon, until unsubscribe is called, once or more often. Neither
	// of the two waits for anything, handle least of all.
	Subscribe(subject string, handle func(payload []byte)) (unsubscribe func(), err error)
}

// What is done for other services is bounded in number and time.
const (
	busyHands     = 4           // shortcuts sent at a time, and as many fetched
	maxUnsent     = 64          // shortcuts that may wait to be sent
	maxUnsentSize = 16 << 20    // bytes of memory that those take
	maxUnfetched  = 256         // keys of shortcuts that may wait to be fetched
	carryLimit    = time.Second // to send one, or to fetch one
	knownKeys     = 1 << 12     // of shortcuts, some 200 bytes each
)

// hubConfig is what a hub needs; bus and cache may be nil.
type hubConfig struct {
	bus        Bus
	cache      tiered.Tier
	window     time.Duration
	maxNodes   int // of a topology, for each host
	now        func() time.Time
	registerer prometheus.Registerer
	namespace  string
	logger     *slog.Logger
}

// shortcutHub holds what shortcuts say until it is superseded, and signals who
// waits for one. With a bus it also tells other services of those that came
// here, and hears of theirs while somebody waits; a cache carries the reports.
//
// A shortcut has a key, the same in all services: that of the blob that it
// would have been stored as at the instant it came. A hub takes a key once.
type shortcutHub struct {
	hubConfig
	shortcuts *shortcuts
	waiters   waiters
	known     *lru.Cache[string, struct{}] // keys taken lately
	metrics   *hubMetrics
	codec     wire.Codec
	unsent    budget
	sending   *crew
	fetching  *crew
	following following
	trouble   rate.Sometimes // says what goes wrong
	ended     chan struct{}  // closed by close
}

func newShortcutHub(c hubConfig) (*shortcutHub, error) {
	m, err := newHubMetrics(c.registerer, c.namespace)
	if err != nil {
		return nil, err
	}
	known, err := lru.New[string, struct{}](knownKeys)
	if err != nil {
		return nil, err
	}
	return &shortcutHub{hubConfig: c, shortcuts: newShortcuts(c.window), known: known, metrics: m,
		codec: wire.Codec{MaxBytes: maxCarried}, unsent: budget{max: maxUnsentSize},
		sending: newCrew(busyHands, maxUnsent, carryLimit), fetching: newCrew(busyHands, maxUnfetched, carryLimit),
		following: following{stop: make(map[string]func())},
		trouble:   rate.Sometimes{Interval: time.Second}, ended: make(chan struct{})}, nil
}

// check returns a *index.TenantError for a tenant that the hub cannot serve.
func (h *shortcutHub) check(tenant string) error {
	if h.bus == nil {
		return index.CheckTenant(tenant)
	}
	_, err := subjectOf(tenant)
	return err
}

// add takes a shortcut that came here from a probe: it is held, signalled, and
// then told to others, which the caller does not wait for. The tenant was
// checked.
func (h *shortcutHub) add(tenant string, r *report.Report, probe string, now time.Time) {
	key := h.name(tenant, now)
	h.hold(tenant, key, r, probe, now)
	h.waiters.signal(tenant)
	if h.bus != nil {
		h.tell(tenant, key, r)
	}
}

// name returns a new key for a shortcut that came now.
func (h *shortcutHub) name(tenant string, now time.Time) string {
	for t := now.UnixNano(); ; t++ {
		key := index.RowAt(tenant, t).BlobKey(t)
		if h.take(key) {
			return key
		}
	}
}

// take makes a key known; false when it was.
func (h *shortcutHub) take(key string) bool {
	taken, _ := h.known.ContainsOrAdd(key, struct{}{})
	return !taken
}

// hold shows a shortcut; false, and counted, where there is no room.
func (h *shortcutHub) hold(tenant, key string, r *report.Report, probe string, now time.Time) bool {
	held := h.shortcuts.add(tenant, key, r, probe, now)
	if !held {
		h.metrics.lost.Inc()
	}
	return held
}

// held returns a tenant's shortcuts that are shown at the moment.
func (h *shortcutHub) held(tenant string, now time.Time) []shortcut {
	return h.shortcuts.held(tenant, now)
}

// supersede drops the shortcuts that a regular report makes stale.
func (h *shortcutHub) supersede(tenant string, r *report.Report, probe string) {
	h.shortcuts.supersede(tenant, r, probe)
}

// wait has a tenant's shortcuts signalled to a channel. The error is a
// *index.TenantError, or bucket.ErrClosed.
func (h *shortcutHub) wait(tenant string, waiter chan<- struct{}) error {
	if err := h.check(tenant); err != nil {
		return err
	}
	select {
	case <-h.ended:
		return bucket.ErrClosed
	default:
	}
	h.waiters.add(tenant, waiter)
	h.follow(tenant)
	return nil
}

// unwait ends what wait began: no further signal is sent when it returns.
func (h *shortcutHub) unwait(tenant string, waiter chan<- struct{}) {
	h.waiters.remove(tenant, waiter)
	h.follow(tenant)
}

// sweep lets go of what has expired, and tries again to subscribe where that
// failed. It is to be called every few seconds.
func (h *shortcutHub) sweep(now time.Time) {
	h.shortcuts.expire(now)
	for _, tenant := range h.waiters.tenants() {
		h.follow(tenant)
	}
}

// close ends subscriptions, tells who waits through ended, and returns when
// what was being sent or fetched is, or when ctx has ended. It may be called
// more than once.
func (h *shortcutHub) close(ctx context.Context) {
	if h.unfollowAll() {
		close(h.ended)
	}
	ctx, cancel := context.WithTimeout(ctx, carryLimit)
	defer cancel()
	h.sending.close(ctx)
	h.fetching.close(ctx)
}
