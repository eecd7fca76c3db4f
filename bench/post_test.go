package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/httpapi"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/tiered"
)

const tenantHeader = "X-Scope-OrgID"

// posts is a collector behind a server, without a journal, and a client of it.
type posts struct {
	*client
	c   *reports.Collector
	now *ticking
}

// client is one connection to a server. It runs in the server's process: with a client in another process the
// server sleeps and wakes for each request, which takes more processor time than the client.
type client struct {
	b       *testing.B
	conn    net.Conn
	answers *bufio.Reader
	request []byte
}

func newPosts(b *testing.B, idx index.Index, authority tiered.Tier) *posts {
	b.Helper()
	now := new(ticking)
	c, err := reports.New(idx, authority, &reports.Options{TenantRate: -1, Now: now.time})
	must(b, err)
	h, err := httpapi.New(c, &httpapi.Options{TenantHeader: tenantHeader})
	must(b, err)
	return &posts{client: newClient(b, h), c: c, now: now}
}

// newClient starts a server with a handler, and returns a client of it.
func newClient(b *testing.B, h http.Handler) *client {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	must(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return &client{b: b, conn: conn, answers: bufio.NewReader(conn)}
}

// post sends a request in one write. A client of net/http would take as much processor time as the server.
func (p *client) post(tenant string, blob []byte) {
	p.request = fmt.Appendf(p.request[:0], "POST /api/report HTTP/1.1\r\nHost: collector\r\nContent-Type: application/msgpack\r\n"+
		"Content-Encoding: gzip\r\n%s: %s\r\nContent-Length: %d\r\n\r\n", tenantHeader, tenant, len(blob))
	p.request = append(p.request, blob...)
	_, err := p.conn.Write(p.request)
	must(p.b, err)
	answer, err := http.ReadResponse(p.answers, nil)
	must(p.b, err)
	_, err = io.Copy(io.Discard, answer.Body)
	must(p.b, err)
	if answer.StatusCode != http.StatusOK {
		p.b.Fatal(answer.Status)
	}
}

// flush ends the tick and stores it.
func (p *posts) flush() {
	must(p.b, p.c.Flush(p.b.Context()))
	p.now.tick()
}

// besideGunzipOf is beside, with gunzip of the blobs as the base. Work returns the processor time that counts.
func besideGunzipOf(b *testing.B, all [][]byte, work func() time.Duration) {
	b.Helper()
	var worked, based time.Duration
	b.ReportAllocs()
	for b.Loop() {
		worked += work()
		b.StopTimer()
		based += timed(func() { each(b, all, func(blob []byte) { gunzip(b, blob) }) })
		b.StartTimer()
	}
	b.ReportMetric(float64(worked)/float64(based), "x-gunzip")
	b.ReportMetric(float64(len(all)), "reports/op")
}

// BenchmarkPost posts reports of a large node over HTTP: each alone in the tick of its tenant, or all to one tick.
// The processor time is the server's and the client's. Flushes do not count, and no time stamps repeat.
func BenchmarkPost(b *testing.B) {
	all := blobs(b, node)
	for name, tenantOf := range map[string]func(i int) string{
		"alone":    func(i int) string { return fmt.Sprint("t", i) },
		"one tick": func(int) string { return "t" },
	} {
		b.Run(name, func(b *testing.B) {
			p := newPosts(b, index.NewMemIndex(), new(tiered.MemTier))
			round := 0
			besideGunzipOf(b, all, func() time.Duration {
				round++ // ids are remembered, so each round has tenants of its own
				took := timed(func() {
					for i, blob := range all {
						p.post(fmt.Sprint(tenantOf(i), "-", round), blob)
					}
				})
				p.flush()
				return took
			})
		})
	}
}

// BenchmarkPostAndFlush posts a minute of three hosts over HTTP, and stores it in a bucket and a table: in one tick, in
// ticks of a report of each host, or each report as a tenant of its own. The servers' processor time does not count.
func BenchmarkPostAndFlush(b *testing.B) {
	all := blobs(b, hosts)
	for _, c := range []struct {
		name    string
		tick    int
		tenants int
	}{{"one tick", len(all), 1}, {"20 ticks", 3, 1}, {"60 tenants", len(all), len(all)}} {
		b.Run(c.name, func(b *testing.B) {
			idx, tier := servers(b)
			p := newPosts(b, idx, tier)
			round := 0
			besideGunzipOf(b, all, func() time.Duration {
				round++
				return timed(func() {
					for i := range all {
						blob := all[i%3*len(all)/3+i/3] // the files are sorted by hosts
						p.post(fmt.Sprint("t", i%c.tenants, "-", round), blob)
						if (i+1)%c.tick == 0 {
							p.flush()
						}
					}
				})
			})
		})
	}
	b.Run("floor", func(b *testing.B) { benchmarkPostFloor(b, all) })
}

// benchmarkPostFloor does what no collector of 60 posts to one tick can leave out: it reads requests with net/http, inflates
// their bodies, and encodes and stores the merged report. It reads no msgpack and merges nothing.
func benchmarkPostFloor(b *testing.B, all [][]byte) {
	idx, tier := servers(b)
	merged, err := report.Merge(decoded(b, hosts))
	must(b, err)
	client := newClient(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := wire.ReadBody(r.Body, true, wire.DefaultMaxBytes); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	at := time.Unix(1_700_000_001, 0).UnixNano()
	besideGunzipOf(b, all, func() time.Duration {
		at += int64(time.Second)
		return timed(func() {
			each(b, all, func(blob []byte) { client.post("t", blob) })
			blob, err := wire.Codec{}.Encode(merged)
			must(b, err)
			row := index.RowAt("t", at)
			must(b, tier.Put(b.Context(), row.BlobKey(at), blob))
			must(b, idx.Put(b.Context(), row, index.Entry{Time: at, Key: row.BlobKey(at)}))
		})
	})
}
