package tiered_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sealed is a codec of strings with a checksum, so that no damage passes.
type sealed struct{}

func (sealed) Encode(s string) ([]byte, error) {
	return append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))), s...), nil
}

var errUnsealed = errors.New("the seal is broken")

func (sealed) Decode(blob []byte) (string, error) {
	if len(blob) < 4 || binary.BigEndian.Uint32(blob) != crc32.ChecksumIEEE(blob[4:]) {
		return "", errUnsealed
	}
	return string(blob[4:]), nil
}

func seal(s string) []byte {
	blob, _ := sealed{}.Encode(s)
	return blob
}

// house is a store over two caches and an authority, which can all fail,
// with metrics that can be read.
type house struct {
	*tiered.Store[string]
	near, far, authority *faulttest.Tier
	nearBlobs, farBlobs  *tiered.MemTier
	blobs                *tiered.MemTier // the authority's
	registry             *prometheus.Registry
}

// newHouse opens a house; change may alter its options. It has no memory
// unless change gives it some.
func newHouse(t testing.TB, change func(*tiered.Options[string])) *house {
	t.Helper()
	h := &house{nearBlobs: &tiered.MemTier{Overwrite: true}, farBlobs: &tiered.MemTier{Overwrite: true},
		blobs: new(tiered.MemTier), registry: prometheus.NewRegistry()}
	h.near, h.far = faulttest.NewTier(h.nearBlobs, 1), faulttest.NewTier(h.farBlobs, 2)
	h.authority = faulttest.NewTier(h.blobs, 3)
	opts := &tiered.Options[string]{
		Caches:     []tiered.Cache{{Name: "near", Tier: h.near}, {Name: "far", Tier: h.far}},
		Memory:     -1,
		Registerer: h.registry,
	}
	if change != nil {
		change(opts)
	}
	store, err := tiered.New(sealed{}, h.authority, opts)
	if err != nil {
		t.Fatal(err)
	}
	h.Store = store
	return h
}

// Get is the store's Get of keys without sums, by key.
func (h *house) Get(ctx context.Context, keys []string) (map[string]string, error) {
	return byKey(ctx, h.Store, keys)
}

// One is the store's One of a key without a sum.
func (h *house) One(ctx context.Context, key string) (string, bool, error) {
	return h.Store.One(ctx, blob.Ref{Key: key})
}

// byKey reads keys from a store and returns the values that it found by key.
func byKey(ctx context.Context, store *tiered.Store[string], keys []string) (map[string]string, error) {
	results, err := store.Get(ctx, refs(keys))
	values := make(map[string]string, len(keys))
	for i, r := range results {
		if r.Found {
			values[keys[i]] = r.Value
		}
	}
	return values, err
}

func refs(keys []string) []blob.Ref {
	refs := make([]blob.Ref, len(keys))
	for i, key := range keys {
		refs[i].Key = key
	}
	return refs
}

// blobsOf returns what a tier holds of keys.
func blobsOf(t testing.TB, tier tiered.Tier, keys ...string) map[string][]byte {
	t.Helper()
	found, err := tiertest.Found(t.Context(), tier, keys)
	if err != nil {
		t.Error(err)
	}
	return found
}

// hold stores key=value for each key in one of the house's tiers.
func hold(t testing.TB, tier tiered.Tier, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := tier.Put(t.Context(), key, seal("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
}

// spoil stores bytes that do not decode.
func spoil(t testing.TB, tier tiered.Tier, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if err := tier.Put(t.Context(), key, []byte("spoiled")); err != nil {
			t.Fatal(err)
		}
	}
}

// healAndWait heals everything and waits for the write-backs.
func (h *house) healAndWait(t testing.TB) {
	t.Helper()
	h.near.Heal()
	h.far.Heal()
	h.authority.Heal()
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// expect asks for keys and wants the values of want, as hold stored them.
func (h *house) expect(t testing.TB, keys []string, want ...string) {
	t.Helper()
	values, err := h.Get(t.Context(), keys)
	if err != nil {
		t.Errorf("Get: %v", err)
	}
	compare(t, values, want...)
}

func compare(t testing.TB, values map[string]string, want ...string) {
	t.Helper()
	if len(values) != len(want) {
		t.Errorf("got %q, want those of %q", values, want)
	}
	for _, key := range want {
		if values[key] != "value of "+key {
			t.Errorf("key %q: got %q", key, values[key])
		}
	}
}

// metric returns the sum of a counter, or the number of a histogram's
// observations, over the series that have all of the label values.
func (h *house) metric(t testing.TB, name string, labels ...string) (n float64) {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, pair := range m.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(values, l) }) {
				n += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return n
}

// count fails the test unless a metric has a value.
func (h *house) count(t testing.TB, want float64, name string, labels ...string) {
	t.Helper()
	if got := h.metric(t, name, labels...); got != want {
		t.Errorf("%s%v is %v, want %v", name, labels, got, want)
	}
}

// named returns the keys that an error names, in order.
func named(err error) (keys []string) {
	switch e := err.(type) {
	case *tiered.TierError:
		keys = append(keys, e.Keys...)
	case *tiered.CorruptError:
		keys = append(keys, e.Key)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			keys = append(keys, named(err)...)
		}
	}
	slices.Sort(keys)
	return keys
}

// fixedKeys returns n keys.
func fixedKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%032x/%d", i, i)
	}
	return keys
}

// soon is a context that ends in a second.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}
