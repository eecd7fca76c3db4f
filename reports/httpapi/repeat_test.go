package httpapi

import (
	"slices"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
)

// TestARepeatedPostCountsOnce posts a report again as a client does that had no
// answer: whichever way the collector takes reports in, it merges the report once.
// Reports without an ID, other bytes, other tenants and later posts are others.
func TestARepeatedPostCountsOnce(t *testing.T) {
	t.Parallel()
	sampled := func(id string) *report.Report {
		r := hosts("h1")
		r.ID, r.Window, r.Sampling = id, 3*time.Second, report.Sampling{Count: 1, Total: 10}
		return r
	}
	large := sampled("large")
	for _, id := range []string{"p1", "p2", "p3"} {
		large.Topologies[report.Process].Nodes = append(large.Topologies[report.Process].Nodes, &report.Node{ID: id})
	}
	zipped, plain, json := []string{mp, gz}, []string{mp}, []string{js}
	first := encode(t, sampled("1"))
	at := func(second byte) []byte { // compressed at a time, as Python's gzip writes it
		body := slices.Clone(first)
		body[4] = second
		return body
	}
	type post struct {
		body    []byte
		headers []string
	}
	for name, c := range map[string]struct {
		before, posts []post // before the repetitions, and with them
		pause         time.Duration
		count         uint64 // what counts of before and posts
		repeated      float64
	}{
		"kept as it came":    {nil, []post{{first, zipped}, {first, zipped}, {first, zipped}}, 0, 1, 2},
		"decoded":            {[]post{{encode(t, sampled("0")), zipped}}, []post{{first, zipped}, {first, zipped}}, 0, 2, 1},
		"after another":      {nil, []post{{first, zipped}, {encode(t, sampled("2")), zipped}, {first, zipped}}, 0, 2, 1},
		"without gzip":       {nil, []post{{msgpack(t, sampled("1")), plain}, {msgpack(t, sampled("1")), plain}}, 0, 1, 1},
		"JSON":               {nil, []post{{asJSON(t, sampled("1")), json}, {asJSON(t, sampled("1")), json}}, 0, 1, 1},
		"topologies dropped": {nil, []post{{encode(t, large), zipped}, {encode(t, large), zipped}}, 0, 1, 1},
		"compressed again":   {nil, []post{{at(1), zipped}, {at(2), zipped}, {first, zipped}}, 0, 1, 2},
		"another ID":         {nil, []post{{first, zipped}, {encode(t, sampled("2")), zipped}}, 0, 2, 0},
		"other bytes":        {nil, []post{{first, zipped}, {append(slices.Clone(first), gzipped(t, nil)...), zipped}}, 0, 2, 0},
		"no ID":              {nil, []post{{encode(t, sampled("")), zipped}, {encode(t, sampled("")), zipped}}, 0, 2, 0},
		"no ID, JSON":        {nil, []post{{asJSON(t, sampled("")), json}, {asJSON(t, sampled("")), json}}, 0, 2, 0},
		"after the window":   {nil, []post{{first, zipped}, {first, zipped}}, 15 * time.Second, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(o *reports.Options, _ *Options) { o.MaxTopologyNodes = 2 })
			for _, p := range append(c.before, c.posts...) {
				if w := f.serve("POST", "/api/report", p.body, p.headers...); w.Code != 200 {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				f.clock.Advance(c.pause)
			}
			if got := f.live(t, "").Sampling; got.Count != c.count || got.Total != 10*c.count {
				t.Errorf("%v counts, want %d", got, c.count)
			}
			if n := counted(t, f.registry, "values_repeated_total"); n != c.repeated {
				t.Errorf("%v repeated, want %v", n, c.repeated)
			}
		})
	}
}

// TestUnstamp checks what of a gzip'd body is changed: the time, unless a checksum covers it.
func TestUnstamp(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                                     "",
		"\x1f\x8b\x08\x00\x01\x02\x03\x04\x02": "\x1f\x8b\x08\x00\x01\x02\x03\x04\x02",
		"\x1f\x8b\x08\x00\x01\x02\x03\x04\x02\x03x":    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03x",
		"\x1f\x8b\x08\x08\x01\x02\x03\x04\x02\x03name": "\x1f\x8b\x08\x08\x00\x00\x00\x00\x02\x03name",
		"\x1f\x8b\x08\x0a\x01\x02\x03\x04\x02\x03name": "\x1f\x8b\x08\x0a\x01\x02\x03\x04\x02\x03name",
	} {
		got := []byte(body)
		if unstamp(got); string(got) != want {
			t.Errorf("%x became %x, want %x", body, got, want)
		}
	}
}
