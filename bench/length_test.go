package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	ref "github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// BenchmarkLength asks about ranges from 15 s to 30 days that ended two days ago, of a tenant with an entry every 3 s.
// Values are 128 bytes or profiles of 18 kB. A cold question finds nothing in memory, a warm one asks the same again, and
// a moved one is the warm one a tick later. bench/plot draws it with -x seconds. Entries deep in sealed days are fewer,
// since no question reads them; without roll-ups the longest range is a day.
func BenchmarkLength(b *testing.B) {
	for _, where := range []string{"memory", "directory"} {
		b.Run("where="+where+"/value=small", func(b *testing.B) {
			benchmarkLengths(b, where, small{}, addAll, small{0, 1, 2}, small{3, 4, 5})
		})
	}
	b.Run("where=memory/value=profile", func(b *testing.B) {
		one, rolled := profiles(b)
		benchmarkLengths(b, "memory", pprof{}, profile.Merge, one, rolled)
	})
}

// lengths are what the benchmark asks about.
var lengths = []time.Duration{15 * time.Second, 5 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

const lengthTick = 3 * time.Second

// history is a tenant's 31 days in an index with roll-ups, and the last of them in one without.
type history struct {
	to          time.Time // when the ranges end that are asked about
	end         time.Time // of the history
	times       []int64   // of the entries
	plain, with index.Index
}

// dense reports whether there is an entry every tick: in the last day, and near the beginning of each range.
func (h *history) dense(at time.Time) bool {
	for _, length := range lengths {
		if d := at.Sub(h.to.Add(-length)); d > -time.Hour && d < time.Hour {
			return true
		}
	}
	return h.to.Sub(at) < 25*time.Hour
}

// count returns how many entries a range has.
func (h *history) count(from, to time.Time) int {
	a, _ := slices.BinarySearch(h.times, from.UnixNano())
	b, _ := slices.BinarySearch(h.times, to.UnixNano())
	return b - a
}

func newHistory(b *testing.B, where string, blobs same) *history {
	b.Helper()
	now := time.Now().UTC()
	h := &history{to: now.Truncate(24 * time.Hour).Add(-2*24*time.Hour + 11*time.Hour + 29*time.Minute + 30*time.Second)}
	h.end = h.to.Add(15 * time.Minute)
	for at := h.to.Add(-31 * 24 * time.Hour); at.Before(h.end); {
		h.times = append(h.times, at.UnixNano())
		if at = at.Add(lengthTick); !h.dense(at) {
			at = at.Add(10*time.Minute - lengthTick)
		}
	}
	for i, into := range []*index.Index{&h.plain, &h.with} {
		if *into = index.NewMemIndex(); where == "directory" {
			db, err := local.Open(b.TempDir(), &local.Options{NoSync: true})
			must(b, err)
			b.Cleanup(func() { must(b, db.Close()) })
			*into = db.Index()
		}
		for _, at := range h.times {
			row := index.RowAt("a", at)
			if i == 1 || at >= h.to.Add(-25*time.Hour).UnixNano() {
				must(b, (*into).Put(b.Context(), row, index.Entry{Time: at, Key: row.BlobKey(at), Size: 128}))
			}
		}
	}
	h.rollUp(b, blobs)
	return h
}

// rollUp seals all spans. All roll-ups have one blob, so that nothing need be merged for them.
func (h *history) rollUp(b *testing.B, blobs same) {
	b.Helper()
	q, err := bucket.NewQuantizer(h.with, ones{blobs}, func(parts []int) (int, error) { return len(parts), nil },
		&bucket.QuantizerOptions[int]{Size: func(int) int64 { return 8 }, CacheBytes: -1,
			Levels: &bucket.LevelOptions{Owned: true, Cores: 2}})
	must(b, err)
	_, err = q.RollUp(b.Context(), "a", time.Unix(0, h.times[0]), h.end, nil)
	must(b, err)
}

// ones is a store whose values are all 1. Their blobs are what same says.
type ones struct{ same }

func (s ones) Get(_ context.Context, refs []ref.Ref) ([]ref.Result[int], error) {
	results := make([]ref.Result[int], len(refs))
	for i := range results {
		results[i] = ref.Result[int]{Value: 1, Found: true, Size: int64(len(s.entry))}
	}
	return results, nil
}
func (s ones) Encode(int) ([]byte, error) { return s.rollUp, nil }

// same is an authority whose entries all have the same blob, and whose roll-ups have another one.
type same struct{ entry, rollUp []byte }

func (s same) Get(_ context.Context, keys []string) ([][]byte, error) {
	blobs := make([][]byte, len(keys))
	for i, key := range keys {
		if blobs[i] = s.entry; strings.HasPrefix(key, index.RollUpPrefix) {
			blobs[i] = s.rollUp
		}
	}
	return blobs, nil
}

func (same) Put(context.Context, string, []byte) error { return nil }

func benchmarkLengths[T any](b *testing.B, where string, codec tiered.Codec[T], merge bucket.Merge[T], one, rolled T) {
	entry, err := codec.Encode(one)
	must(b, err)
	rollUp, err := codec.Encode(rolled)
	must(b, err)
	authority := same{entry, rollUp}
	h := newHistory(b, where, authority)
	for _, levels := range []string{"on", "off"} {
		idx, longest := h.with, lengths[len(lengths)-1]
		if levels == "off" {
			idx, longest = h.plain, 24*time.Hour
			if len(entry) > 1000 {
				longest = 5 * time.Minute // merging more takes too long
			}
		}
		quantizer := func() *bucket.Quantizer[T] {
			s, err := tiered.New(codec, authority, &tiered.Options[T]{})
			must(b, err)
			q, err := bucket.NewQuantizer(idx, s, merge, nil)
			must(b, err)
			return q
		}
		for _, length := range lengths {
			for _, state := range []string{"cold", "warm", "moved"} {
				if length <= longest {
					b.Run(fmt.Sprintf("levels=%s/state=%s/seconds=%d", levels, state, int(length.Seconds())), func(b *testing.B) {
						benchmarkLength(b, h, length, state, quantizer)
					})
				}
			}
		}
	}
}

func benchmarkLength[T any](b *testing.B, h *history, length time.Duration, state string, quantizer func() *bucket.Quantizer[T]) {
	q, from := quantizer(), h.to.Add(-length)
	ask := func() {
		a, err := q.Range(b.Context(), "a", from, from.Add(length), nil)
		must(b, err)
		if a.Entries != h.count(from, from.Add(length)) {
			b.Fatalf("%d entries in %v from %v", a.Entries, length, from)
		}
	}
	if state != "cold" {
		ask()
	}
	var sum work
	before := q.Stats()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		switch state {
		case "cold":
			q, before = quantizer(), bucket.PastStats{}
		case "moved":
			if from = from.Add(lengthTick); from.Add(length).After(h.end) { // no range is asked about twice
				b.StopTimer()
				sum.add(before, q.Stats())
				q, from = quantizer(), h.to.Add(-length)
				ask()
				before, from = q.Stats(), from.Add(lengthTick)
				b.StartTimer()
			}
		}
		ask()
		if n++; state == "cold" {
			sum.add(before, q.Stats())
		}
	}
	if state != "cold" {
		sum.add(before, q.Stats())
	}
	b.ReportMetric(float64(sum.Entries)/float64(n), "entries/op")
	b.ReportMetric(float64(sum.Blobs)/float64(n), "blobs/op")
	b.ReportMetric(float64(sum.Merges)/float64(n), "merges/op")
}

// work is what questions took.
type work struct{ Entries, Blobs, Merges int64 }

func (w *work) add(before, now bucket.PastStats) {
	w.Entries, w.Blobs, w.Merges = w.Entries+now.Entries-before.Entries, w.Blobs+now.Blobs-before.Blobs, w.Merges+now.Merges-before.Merges
}

// small is a value of 128 bytes, and its codec.
type small [16]uint64

func addAll(parts []small) (sum small, err error) {
	for _, p := range parts {
		for i, n := range p {
			sum[i] += n
		}
	}
	return sum, nil
}

func (small) Encode(v small) ([]byte, error) { return binary.Append(nil, binary.BigEndian, v) }

func (small) Decode(b []byte) (v small, err error) {
	_, err = binary.Decode(b, binary.BigEndian, &v)
	return v, err
}

// pprof is the codec of profiles.
type pprof struct{}

func (pprof) Encode(p *profile.Profile) ([]byte, error) {
	var b bytes.Buffer
	err := p.Write(&b)
	return b.Bytes(), err
}

func (pprof) Decode(b []byte) (*profile.Profile, error) { return profile.ParseData(b) }

// profiles returns a profile of about 18 kB, and one that is merged of twenty such.
func profiles(b *testing.B) (one, rolled *profile.Profile) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	var all []*profile.Profile
	for range 20 {
		all = append(all, randomProfile(random))
	}
	rolled, err := profile.Merge(all)
	must(b, err)
	return all[0], rolled
}

// randomProfile has 600 samples of 8 to 24 frames in 800 functions.
func randomProfile(random *rand.Rand) *profile.Profile {
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	p := &profile.Profile{SampleType: []*profile.ValueType{cpu}, PeriodType: cpu, Period: 10_000_000}
	for i := range uint64(800) {
		f := &profile.Function{ID: i + 1, Name: fmt.Sprintf("example.com/service/package%d.function%d", i%40, i), Filename: fmt.Sprintf("package%d.go", i%40)}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{ID: i + 1, Address: i * 64, Line: []profile.Line{{Function: f, Line: int64(i)}}})
	}
	for range 600 {
		stack := random.Uint64N(1000) // which of the program's stacks
		s := &profile.Sample{Value: []int64{int64(random.IntN(100)) * 10_000_000}}
		for depth := range 8 + stack%17 {
			s.Location = append(s.Location, p.Location[(stack*stack*31+depth*depth*7)%800])
		}
		p.Sample = append(p.Sample, s)
	}
	return p.Compact()
}
