package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/natsbus"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/tiered"
)

// natsServers are the NATS servers over which services announce shortcuts to each other.
type natsServers struct{ url string } // empty for none

// natsFlags defines the flag that names NATS servers.
func natsFlags(f *cli.Flags) *natsServers {
	n := &natsServers{}
	f.StringVar(&n.url, "nats", "", "tell other services of shortcuts, and hear of theirs, over NATS at a `URL`: "+
		"nats://[user:password@]host[:port][,host[:port]…], or tls://…; --cache carries what they say")
	f.Must(n.check)
	return n
}

// check checks the URL. Its errors do not repeat secrets.
func (n *natsServers) check() error {
	if n.url == "" {
		return nil
	}
	return stores.Named("--nats", natsbus.CheckURL(n.url))
}

// open connects to NATS and returns the bus and the cache that carries shortcuts. Both are nil without
// servers. Closing the store closes the bus.
func (n *natsServers) open(metrics prometheus.Registerer, store *stores.Store, log *slog.Logger) (shortcuts.Bus, tiered.Tier, error) {
	if n.url == "" {
		return nil, nil, nil
	}
	bus, err := natsbus.Open(n.url, &natsbus.Options{Name: "timeblob collector " + cli.Version(),
		Registerer: metrics, Namespace: stores.Namespace, Logger: log})
	if err != nil {
		return nil, nil, fmt.Errorf("--nats: %w", err)
	}
	before := store.Close
	store.Close = func() error { return errors.Join(bus.Close(), before()) }
	if len(store.Caches) == 0 {
		log.Warn("--nats without --cache: other services are told that there are shortcuts, and cannot show what they say")
		return bus, nil, nil
	}
	return bus, store.Caches[0].Tier, nil
}
