package rollup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// shelf is a Merger whose merge is the list of its entries' keys. Several
// builders may share it.
type shelf struct {
	index index.Index

	mu      sync.Mutex // guards what follows
	blobs   map[string][]byte
	puts    map[string]int // of roll-ups, by level and start
	err     error          // of each merge
	hang    bool           // a merge waits for its context
	padding int            // bytes that each blob has more
	shaped  bool           // a blob has a byte more for each of its parts, which Same ignores
	parts   int64          // bytes of the parts of each merge
	merges  int

	stuck    string        // the tenant whose merges do not return until they are released
	released chan struct{} // closed then
	begun    int           // such merges
}

func newShelf(x index.Index) *shelf {
	return &shelf{index: x, blobs: map[string][]byte{}, puts: map[string]int{}, parts: 1 << 40}
}

func (s *shelf) Merge(ctx context.Context, tenant string, parts []levels.Part) (m Merged, err error) {
	var keys []string
	for _, part := range parts {
		if part.Place == nil {
			w := work{Options{Index: s.index}}
			_, err = w.entries(ctx, tenant, part.From, part.To, func(entries []index.Entry) {
				for _, e := range entries {
					keys = append(keys, e.Key)
				}
			})
		} else if part.Place.Entries > 0 {
			blob, ok := s.blob(part.Place.Key)
			if !ok {
				return m, fmt.Errorf("%w: no blob %s", errLasting, part.Place.Key)
			}
			keys = append(keys, strings.Split(strings.TrimRight(string(blob), " "), ",")...)
		}
		if err != nil {
			return m, err
		}
	}
	s.mu.Lock()
	hang, err, padding, size := s.hang, s.err, s.padding, s.parts
	if s.shaped {
		padding += len(parts)
	}
	s.merges++
	if tenant == s.stuck && s.released != nil {
		s.begun++
		s.mu.Unlock()
		<-s.released
		return m, errLasting
	}
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return m, ctx.Err()
	}
	m = Merged{Count: len(keys), Print: printOf(keys), Bytes: size}
	if len(keys) > 0 {
		m.Blob = append([]byte(strings.Join(keys, ",")), bytes.Repeat([]byte(" "), padding)...)
	}
	return m, err
}

func (s *shelf) blob(key string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blob, ok := s.blobs[key]
	return blob, ok
}

func (s *shelf) Put(_ context.Context, key string, blob []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[key] = blob
	s.puts[key[:strings.LastIndex(key, "-")]]++
	return nil
}

func (s *shelf) Remove(_ context.Context, keys []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.blobs, key)
	}
	return nil
}

var errLasting = errors.New("lasting")

func (s *shelf) Lasting(err error) bool { return errors.Is(err, errLasting) }

func (s *shelf) PrintOf(entries []index.Entry) string {
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return printOf(keys)
}

// Same implements Merger.
func (s *shelf) Same(a, b []byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shaped {
		a, b = bytes.TrimRight(a, " "), bytes.TrimRight(b, " ")
	}
	return bytes.Equal(a, b), nil
}

func printOf(keys []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(keys)), ",")))
	return hex.EncodeToString(sum[:8])
}

// set changes what merges do.
func (s *shelf) set(change func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// most returns how often the span that was put most often was put.
func (s *shelf) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Max(append(slices.Collect(maps.Values(s.puts)), 0))
}

// hung returns how many merges have not returned.
func (s *shelf) hung() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.blobs)
}

// hall is an index with a shelf, and builders over both.
type hall struct {
	*testing.T
	index *index.MemIndex
	shelf *shelf
}

func newHall(t *testing.T) *hall {
	x := index.NewMemIndex()
	return &hall{t, x, newShelf(x)}
}

// settings are the defaults for an index of one process.
func settings() levels.Settings {
	s := levels.Default()
	s.Skew, s.Linger = 0, 0
	return s
}

// builder returns a builder, as a process of its own has it.
func (h *hall) builder(change func(*Options)) *Builder {
	metrics, err := NewMetrics(prometheus.NewRegistry(), "test")
	if err != nil {
		h.Fatal(err)
	}
	o := Options{Protocol: levels.New(h.index, nil), Index: h.index, Merger: h.shelf, Settings: settings(), Owned: true,
		Cores: 2, MaxBlob: 1 << 20, Metrics: metrics, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// fill puts an entry each step of [from, to), as a writer of then would.
func (h *hall) fill(tenant string, from, to time.Time, step time.Duration) {
	h.Helper()
	for at := from; at.Before(to); at = at.Add(step) {
		h.put(index.Holding(h.Context()), tenant, at)
	}
}

func (h *hall) put(ctx context.Context, tenant string, at time.Time) {
	h.Helper()
	t := at.UnixNano()
	if err := h.index.Put(ctx, index.RowAt(tenant, t), index.Entry{Time: t, Key: fmt.Sprint("e", t)}); err != nil {
		h.Fatal(err)
	}
}

// late puts an entry as a process that knows levels does.
func (h *hall) late(b *Builder, tenant string, at time.Time) error {
	t := at.UnixNano()
	return b.opts.Protocol.Write(h.Context(), levels.Write{Tenant: tenant, Instants: []int64{t}, Timeout: time.Second},
		func(ctx context.Context) error {
			return h.index.Put(ctx, index.RowAt(tenant, t), index.Entry{Time: t, Key: fmt.Sprint("late", t)})
		})
}

// run lets a builder run for a time.
func (h *hall) run(b *Builder, d time.Duration) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), d)
	defer cancel()
	if err := b.Run(ctx); err != nil {
		h.Fatal(err)
	}
}

// sealed returns the places of a tenant's level that are sealed, and fails unless
// each has a roll-up that holds the entries of its span.
func (h *hall) sealed(tenant string, level time.Duration) (sealed []levels.Place) {
	h.Helper()
	p := levels.New(h.index, nil)
	places, err := p.Places(h.Context(), tenant, level, 0, time.Now().UnixNano())
	if err != nil {
		h.Fatal(err)
	}
	for _, place := range places {
		if place.Kind != levels.Sealed {
			continue
		}
		sealed = append(sealed, place)
		want, err := h.shelf.Merge(h.Context(), tenant, []levels.Part{{From: place.Start, To: place.End()}})
		if err != nil {
			h.Fatal(err)
		}
		blob, _ := h.shelf.blob(place.Key)
		if place.Entries != want.Count || place.Print != want.Print || place.Entries > 0 && !sameKeys(blob, want.Blob) {
			h.Errorf("the seal of the %v names %d entries, %.90q; want %d, %.90q", place.Span, place.Entries, blob, want.Count, want.Blob)
		}
	}
	return sealed
}

func sameKeys(a, b []byte) bool {
	sorted := func(blob []byte) []string {
		return slices.Sorted(strings.SplitSeq(strings.TrimRight(string(blob), " "), ","))
	}
	return slices.Equal(sorted(a), sorted(b))
}
