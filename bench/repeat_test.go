package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	ref "github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
)

// inMemory is a store of decoded reports: a key names one by its instant, in seconds.
type inMemory []*report.Report

func (s inMemory) Get(_ context.Context, refs []ref.Ref) ([]ref.Result[*report.Report], error) {
	results := make([]ref.Result[*report.Report], len(refs))
	for i, r := range refs {
		_, instant, _ := strings.Cut(r.Key, "/")
		at, err := strconv.Atoi(instant)
		if err != nil {
			return nil, err
		}
		results[i] = ref.Result[*report.Report]{Value: s[at/int(time.Second)%len(s)], Found: true, Size: 60_000}
	}
	return results, nil
}

func (inMemory) Encode(*report.Report) ([]byte, error)     { return nil, nil }
func (inMemory) Put(context.Context, string, []byte) error { return nil }

// sliding asks about 15 s of a large node that sends a report a second. All reports are decoded in memory.
type sliding struct {
	testing.TB
	reports inMemory
	index   *index.MemIndex
	q       *bucket.Quantizer[*report.Report]
	at, end time.Time // the next question's begin; of the reports
}

const slidingWindow = 15 * time.Second

func newSliding(t testing.TB, d time.Duration) *sliding {
	s := &sliding{TB: t, reports: decoded(t, node), index: index.NewMemIndex()}
	s.reset()
	s.end = s.at.Add(d)
	for at := s.at; at.Before(s.end); at = at.Add(time.Second) {
		row := index.RowAt("a", at.UnixNano())
		must(t, s.index.Put(t.Context(), row, index.Entry{Time: at.UnixNano(), Key: row.BlobKey(at.UnixNano())}))
	}
	return s
}

// reset forgets all merges.
func (s *sliding) reset() {
	s.at = time.Unix(1_700_000_001, 0) // the start of a quantum
	var err error
	s.q, err = bucket.NewQuantizer(s.index, s.reports, report.Merge, &bucket.QuantizerOptions[*report.Report]{Size: report.Size})
	must(s, err)
}

func (s *sliding) ask() {
	a, err := s.q.Range(s.Context(), "a", s.at, s.at.Add(slidingWindow), nil)
	must(s, err)
	if a.Entries != 15 {
		s.Fatalf("%d reports, want 15", a.Entries)
	}
}

// move moves the next question.
func (s *sliding) move(by time.Duration) { s.at = s.at.Add(by) }

// flat merges the 15 reports in one call.
func (s *sliding) flat() {
	parts := make([]*report.Report, 15)
	for i := range parts {
		parts[i] = s.reports[i%len(s.reports)]
	}
	_, err := report.Merge(parts)
	must(s, err)
}

// BenchmarkSliding asks about 15 s of 15 reports that are in memory: again, or moved by a second or by a tick of 3 s.
// x-flat is the processor time as a multiple of one merge of the 15 reports.
func BenchmarkSliding(b *testing.B) {
	b.Run("again", func(b *testing.B) {
		s := newSliding(b, time.Minute)
		s.ask()
		flat := timed(s.flat)
		b.ReportAllocs()
		asked := timed(func() {
			for b.Loop() {
				s.ask()
			}
		})
		b.ReportMetric(float64(asked)/float64(b.N)/float64(flat), "x-flat")
	})
	for _, by := range []time.Duration{time.Second, 3 * time.Second} {
		b.Run(fmt.Sprint("moved by ", by), func(b *testing.B) { benchmarkMoved(b, by) })
	}
}

func benchmarkMoved(b *testing.B, by time.Duration) {
	s, merges := newSliding(b, time.Hour), int64(0)
	s.ask()
	beside(b, "x-flat", 0, s.flat, func() {
		if s.move(by); s.at.Add(slidingWindow).After(s.end) {
			b.StopTimer()
			s.reset()
			s.ask()
			s.move(by)
			b.StartTimer()
		}
		before := s.q.Stats().Merges
		s.ask()
		merges += s.q.Stats().Merges - before
	})
	b.ReportMetric(float64(merges)/float64(b.N), "merges/op")
}
