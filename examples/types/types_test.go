package types_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/axiomhq/hyperloglog"
	"github.com/google/pprof/profile"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/examples/sqlite"
	"github.com/timeblob/timeblob/examples/types"
	"github.com/timeblob/timeblob/remote"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/codectest"
)

// kind is a type of value.
type kind[T any] struct {
	codec   tiered.Codec[T]
	merge   bucket.Merge[T]
	into    func(dst, src T) (T, error)
	clone   func(T) T
	samples []T
	show    func(T) string // what a reader sees of a value; it may write to the value
}

func TestHyperLogLog(t *testing.T) {
	t.Parallel()
	k := kind[*hyperloglog.Sketch]{codec: types.Visitors{}, merge: types.MergeVisitors, into: types.IntoVisitors,
		clone: (*hyperloglog.Sketch).Clone,
		show:  func(s *hyperloglog.Sketch) string { return fmt.Sprint(s.Estimate()) }}
	for i := range 6 {
		s := hyperloglog.New()
		for visitor := range 200 {
			s.Insert([]byte(fmt.Sprint("visitor ", 100*i+visitor)))
		}
		k.samples = append(k.samples, s)
	}
	run(t, k)
}

func TestDDSketch(t *testing.T) {
	t.Parallel()
	k := kind[*ddsketch.DDSketch]{codec: types.Latencies{}, merge: types.MergeLatencies, clone: (*ddsketch.DDSketch).Copy,
		show: func(s *ddsketch.DDSketch) string {
			quantiles, err := s.GetValuesAtQuantiles([]float64{0, 0.5, 0.9, 0.99, 1})
			return fmt.Sprint(s.GetCount(), quantiles, err)
		}}
	for i := range 6 {
		s, err := ddsketch.NewDefaultDDSketch(0.01)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 300 {
			if err := s.Add(float64((n*7919+i)%1000) / 10); err != nil {
				t.Fatal(err)
			}
		}
		k.samples = append(k.samples, s)
	}
	run(t, k)
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	k := kind[*profile.Profile]{codec: types.Profiles{}, merge: profile.Merge, clone: types.CloneProfile,
		show: func(p *profile.Profile) string {
			total := map[string]int64{}
			for _, s := range p.Sample {
				total[s.Location[0].Line[0].Function.Name] += s.Value[0]
			}
			return fmt.Sprint(total)
		}}
	for i := range 6 {
		k.samples = append(k.samples, spent(fmt.Sprint("f", i%3), int64(i+1)))
	}
	run(t, k)
}

// spent makes a profile of one sample, as runtime/pprof takes them.
func spent(function string, took int64) *profile.Profile {
	f := &profile.Function{ID: 1, Name: function}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 1}}}
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	return &profile.Profile{
		SampleType: []*profile.ValueType{cpu}, PeriodType: cpu, Period: 1,
		Sample:   []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{took}}},
		Location: []*profile.Location{l}, Function: []*profile.Function{f},
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	k := kind[types.Counts]{codec: types.Counters{}, merge: types.AddUp, into: types.IntoCounts, clone: types.CloneCounts,
		show: func(c types.Counts) string { return fmt.Sprint(c) }}
	for i := range 6 {
		k.samples = append(k.samples, types.Counts{"GET": i + 1, fmt.Sprint("path ", i%2): 1})
	}
	run(t, k)
}

// run takes a type through its whole life: its codec and merge are checked; it is
// added, read while it is stored in SQLite, read after a restart, and asked for
// over HTTP while three collectors hold it.
func run[T any](t *testing.T, k kind[T]) {
	own := make([]T, len(k.samples)) // encoding a profile writes to it, while the other tests read the samples
	for i, sample := range k.samples {
		own[i] = k.clone(sample)
	}
	t.Run("codec and merge", func(t *testing.T) {
		t.Parallel()
		codectest.Run(t, k.codec, k.merge, own, &codectest.Options[T]{
			Equal: func(a, b T) bool { return k.show(k.clone(a)) == k.show(k.clone(b)) }, Clone: k.clone, Into: k.into})
	})
	t.Run("life", func(t *testing.T) {
		t.Parallel()
		k.life(t)
	})
	t.Run("three collectors", func(t *testing.T) {
		t.Parallel()
		k.threeCollectors(t)
	})
}

// world is what collectors share.
type world[T any] struct {
	db    *sqlite.DB
	blobs *tiered.Store[T]
}

func (k kind[T]) open(t *testing.T, file string) *world[T] {
	t.Helper()
	db, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := tiered.New(k.codec, db.Blobs(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &world[T]{db, blobs}
}

func (w *world[T]) close(t *testing.T) {
	t.Helper()
	if err := w.blobs.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := w.db.Close(); err != nil {
		t.Error(err)
	}
}

func (k kind[T]) collector(t *testing.T, w *world[T]) *bucket.Collector[T] {
	t.Helper()
	c, err := bucket.NewCollector(w.db.Index(), w.blobs, k.merge, &bucket.CollectorOptions[T]{
		Tick: time.Minute, Into: k.into, Clone: k.clone})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// want returns what a reader sees of the merge of all samples.
func (k kind[T]) want(t *testing.T) string {
	t.Helper()
	parts := make([]T, len(k.samples))
	for i, s := range k.samples {
		parts[i] = k.clone(s)
	}
	merged, err := k.merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	return k.show(merged)
}

func (k kind[T]) life(t *testing.T) {
	file, now := filepath.Join(t.TempDir(), "db"), time.Now()
	from, to := now.Add(-time.Hour), now.Add(time.Hour)
	w := k.open(t, file)
	c := k.collector(t, w)
	for i, s := range k.samples {
		opts := &bucket.AddOptions{}
		if i%2 == 1 {
			opts.At = now.Add(-time.Duration(i) * time.Minute)
		}
		if err := c.Add(t.Context(), "acme", k.clone(s), opts); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, answer bucket.Answer[T], err error) {
		if err != nil {
			t.Errorf("%s: %v", when, err)
		} else if got, want := k.show(k.clone(answer.Value)), k.want(t); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() { // while the values are encoded and stored
			for range 10 {
				answer, err := c.Range(t.Context(), "acme", from, to, nil)
				check("live", answer, err)
			}
		})
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	readers.Wait()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.close(t)

	w = k.open(t, file)
	defer w.close(t)
	c = k.collector(t, w)
	answer, err := c.Range(t.Context(), "acme", from, to, nil)
	check("after a restart", answer, err)
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// threeCollectors adds two samples to each of three collectors: one that is
// stored, and one that only the collector holds.
func (k kind[T]) threeCollectors(t *testing.T) {
	w, now := k.open(t, filepath.Join(t.TempDir(), "db")), time.Now()
	defer w.close(t)
	var sources []bucket.Source[T]
	for i := range 3 {
		c := k.collector(t, w)
		at := &bucket.AddOptions{At: now.Add(-time.Duration(i+1) * time.Minute)}
		if err := c.Add(t.Context(), "acme", k.clone(k.samples[2*i]), at); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Add(t.Context(), "acme", k.clone(k.samples[2*i+1]), nil); err != nil {
			t.Fatal(err)
		}
		h, err := remote.NewHandler(c, k.codec, &remote.HandlerOptions[T]{Clone: k.clone})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(h)
		defer server.Close()
		client, err := remote.NewClient(server.URL, k.codec, nil)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, client)
	}
	q, err := bucket.NewQuerier(w.db.Index(), w.blobs, k.merge, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := q.Range(t.Context(), "acme", now.Add(-time.Hour), now.Add(time.Hour), sources, nil)
	if err != nil || answer.Entries != 6 || len(answer.Missing) > 0 {
		t.Fatalf("%d entries, missing %v, %v", answer.Entries, answer.Missing, err)
	}
	if got, want := k.show(k.clone(answer.Value)), k.want(t); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
