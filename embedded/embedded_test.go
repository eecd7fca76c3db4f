package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/embedded"
)

// counts are how often things happened.
type counts map[string]int

type jsonCodec struct{}

func (jsonCodec) Encode(c counts) ([]byte, error)          { return json.Marshal(c) }
func (jsonCodec) Decode(blob []byte) (c counts, err error) { return c, json.Unmarshal(blob, &c) }

func addUp(parts []counts) (counts, error) {
	sum := counts{}
	for _, part := range parts {
		for k, n := range part {
			sum[k] += n
		}
	}
	return sum, nil
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func TestAcrossARestart(t *testing.T) {
	t.Parallel()
	dir, begun := t.TempDir(), time.Now()
	for i := range 3 {
		s, err := embedded.Open(dir, jsonCodec{}, addUp, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), "acme", counts{"GET": 1}, nil); err != nil {
			t.Fatal(err)
		}
		live, err := s.Range(t.Context(), "acme", begun.Add(-time.Hour), time.Now().Add(time.Hour), nil)
		if err != nil || live.Value["GET"] != i+1 {
			t.Errorf("run %d: %v, %v", i, live, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), "acme", counts{"GET": 1}, nil); !errors.Is(err, bucket.ErrClosed) {
			t.Errorf("add after close: %v", err)
		}
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	s, err := embedded.Open(t.TempDir(), jsonCodec{}, addUp, &embedded.Options[counts]{Collector: bucket.CollectorOptions[counts]{Tick: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range 2 {
		if err := s.Add(t.Context(), "acme", counts{"GET": 1}, &bucket.AddOptions{At: now.Add(-time.Duration(i+1) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(t.Context(), "open", counts{"GET": 1}, nil); err != nil { // the others may be stored by now
		t.Fatal(err)
	}
	if of, err := s.Stats(t.Context()); err != nil || of.Tenants == 0 || of.Bytes == 0 || of.MaxBytes == 0 {
		t.Errorf("with a value pending: %+v, %v", of, err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Range(t.Context(), "acme", now.Add(-3*time.Hour), now, nil); err != nil {
			t.Fatal(err)
		}
	}
	of, err := s.Stats(t.Context())
	if err != nil || of.Values != 0 || of.Bytes != 0 || of.Past.Entries != 4 || of.Past.Blobs != 2 || of.Past.Merges != 1 || of.Past.Found != 1 {
		t.Errorf("after two questions: %+v, %v", of, err)
	}
	if directory := of.Blobs.Tiers[1]; directory.Name != "authority" || directory.Hits != 2 || of.Directory.DiskBytes == 0 {
		t.Errorf("the directory: %+v", of)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutAJournal has the value in the directory after Close, and no journal beside it.
func TestWithoutAJournal(t *testing.T) {
	t.Parallel()
	dir, begun := t.TempDir(), time.Now()
	for i := range 2 {
		s, err := embedded.Open(dir, jsonCodec{}, addUp, &embedded.Options[counts]{NoJournal: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(t.Context(), "acme", counts{"GET": 1}, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "journal")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory has a journal: %v", err)
		}
		if s, err = embedded.Open(dir, jsonCodec{}, addUp, &embedded.Options[counts]{NoJournal: true}); err != nil {
			t.Fatal(err)
		}
		a, err := s.Range(t.Context(), "acme", begun.Add(-time.Hour), time.Now().Add(time.Hour), nil)
		if err != nil || a.Value["GET"] != i+1 {
			t.Errorf("run %d: %v, %v", i, a, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestThePartsShareWhatTheCollectorHas gives a registry, a size and a clock to the collector alone.
func TestThePartsShareWhatTheCollectorHas(t *testing.T) {
	t.Parallel()
	registry, sized := prometheus.NewRegistry(), atomic.Int64{}
	o := &embedded.Options[counts]{Collector: bucket.CollectorOptions[counts]{Registerer: registry, Namespace: "mine", Now: time.Now,
		Size: func(counts) int64 { sized.Add(1); return 100 }}}
	s, err := embedded.Open(t.TempDir(), jsonCodec{}, addUp, o)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := s.Add(t.Context(), "acme", counts{"GET": 1}, &bucket.AddOptions{At: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Range(t.Context(), "acme", now.Add(-2*time.Hour), now, nil); err != nil {
		t.Fatal(err)
	}
	if of, err := s.Stats(t.Context()); err != nil || of.Blobs.Bytes < 100 || of.Blobs.Bytes > 500 {
		t.Errorf("memory holds %+v, %v; want one value of 100 bytes and its key", of.Blobs, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, part := range []string{"mine_journal_records", "mine_in_process_cache_bytes", "mine_pending_bytes"} {
		if !slices.Contains(names, part) {
			t.Errorf("no metric %s in %q", part, names)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := embedded.Open[counts](dir, nil, addUp, nil); err == nil {
		t.Error("no codec: no error")
	}
	if _, err := embedded.Open(dir, jsonCodec{}, nil, nil); err == nil {
		t.Error("no merge: no error")
	}
	opts := &embedded.Options[counts]{Collector: bucket.CollectorOptions[counts]{Tick: 1}}
	if _, err := embedded.Open(dir, jsonCodec{}, addUp, opts); err == nil {
		t.Error("a tick of 1 ns: no error")
	}
	s, err := embedded.Open(dir, jsonCodec{}, addUp, nil) // what failed has let go of the directory
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseTwiceWhenItWasInterrupted(t *testing.T) {
	t.Parallel()
	s, err := embedded.Open(t.TempDir(), jsonCodec{}, addUp, &embedded.Options[counts]{Collector: bucket.CollectorOptions[counts]{Tick: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), "acme", counts{"GET": 1}, nil); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := errors.AsType[*bucket.UndeliveredError](s.Close(gone)); !ok {
		t.Error("an interrupted close: no UndeliveredError")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func ExampleOpen() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "counts")
	defer os.RemoveAll(dir)
	store, err := embedded.Open(dir, jsonCodec{}, addUp, nil)
	if err != nil {
		panic(err)
	}
	_ = store.Add(ctx, "acme", counts{"GET": 2}, nil)
	_ = store.Add(ctx, "acme", counts{"GET": 1, "POST": 1}, nil)

	now := time.Now()
	hour, err := store.Range(ctx, "acme", now.Add(-time.Hour), now.Add(time.Second), nil)
	fmt.Println(maps.Equal(hour.Value, counts{"GET": 3, "POST": 1}), err)
	fmt.Println(store.Close(ctx))
	// Output:
	// true <nil>
	// <nil>
}

// TestRollUpsInOneCall turns roll-ups on, and says nothing of who writes the directory: they
// are built, or wait until late values can no longer come. No other process must learn of them first.
func TestRollUpsInOneCall(t *testing.T) {
	t.Parallel()
	o := &embedded.Options[counts]{}
	o.Collector.Past.Levels = &bucket.LevelOptions{Retention: []bucket.Retention{{Keep: 24 * time.Hour}, {Level: time.Hour, Keep: 240 * time.Hour}}, Grace: time.Hour}
	s, err := embedded.Open(t.TempDir(), jsonCodec{}, addUp, o)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-3 * time.Hour).Truncate(time.Hour)
	for i := range 30 {
		if err := s.Add(t.Context(), "a", counts{"n": 1}, &bucket.AddOptions{At: begin.Add(time.Duration(i) * time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	done, err := s.RollUp(t.Context(), "a", begin, begin.Add(time.Hour), nil)
	if err != nil || done.Built+done.Waiting == 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if o.Collector.Past.Levels.Owned || o.Directory.Retention != 0 {
		t.Error("Open has changed the options")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
