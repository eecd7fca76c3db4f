package httpapi

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkQuerierNow asks about now where two collectors of ten nodes each are
// half a minute into their ticks of 3 s: "held" as a querier does, "windows" as
// it does with Scope's collectors. What collectors send is reported in bytes.
func BenchmarkQuerierNow(b *testing.B) {
	for name, plain := range map[string]bool{"held": false, "windows": true} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b, 2, nil)
			bodies := capturedReports(b, "k8s-node/*.gz")
			for range 10 {
				for i := range 20 {
					c.add(b, i%2, "a", decode(b, bodies[i%len(bodies)].Body))
				}
				c.flush(b, 0, 1)
				c.clock.Advance(3 * time.Second)
			}
			c.add(b, 0, "a", decode(b, bodies[0].Body))
			c.add(b, 1, "a", decode(b, bodies[1].Body))
			var sent atomic.Int64
			for _, m := range c.collectors {
				m.intercept(func(w http.ResponseWriter, r *http.Request) bool {
					if plain && r.URL.Path == "/api/held" {
						http.NotFound(w, r)
						return true
					}
					m.handler.ServeHTTP(counting{w, &sent}, r)
					return true
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Report(b.Context(), "a", c.clock.Now()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(sent.Load())/float64(b.N), "sent-B/op")
		})
	}
}

// counting counts the bytes of an answer.
type counting struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

func (w counting) Write(p []byte) (int, error) {
	w.bytes.Add(int64(len(p)))
	return w.ResponseWriter.Write(p)
}
