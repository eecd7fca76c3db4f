package httpapi

import (
	"context"
	"net"
	"testing"

	"github.com/timeblob/timeblob/internal/dnstest"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/peers"
)

// TestCollectorsByDNS finds collectors with a real server and a real resolver.
func TestCollectorsByDNS(t *testing.T) {
	t.Parallel()
	dns := dnstest.Start(t)
	c := newCluster(t, 2, func(_ *reports.Options, q *querierOptions, _ *cluster) { q.peers.Resolver = dns.Resolver() })
	const name = "_api._tcp.collector.test"
	dns.SetA("one.test", [4]byte{127, 0, 0, 1})
	for _, m := range c.collectors {
		dns.AddSRV(name, uint16(m.server.Listener.Addr().(*net.TCPAddr).Port), "one.test")
	}
	q := &cluster{index: c.index, authority: c.authority}
	q.ask(t, "srv:"+name, &querierOptions{QuerierOptions: reports.QuerierOptions{Now: c.clock.Now},
		peers: peers.Options{TenantHeader: tenantHeader, Resolver: dns.Resolver(), Dial: (&net.Dialer{Resolver: dns.Resolver()}).DialContext}})
	c.add(t, 0, "a", hosts("h0"))
	c.add(t, 1, "a", hosts("h1"))
	a, err := q.Report(t.Context(), "a", noon)
	c.want(t, a, err, nil, hosts("h0"), hosts("h1"))
	dns.SetSRV(name, 1)
	q.peers.Refresh(t.Context())
	a, err = q.Report(t.Context(), "a", noon)
	c.want(t, a, err, nil, hosts("h0"), hosts("h1"))
	if err := q.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
