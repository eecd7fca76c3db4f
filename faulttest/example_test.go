package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

type text struct{}

func (text) Encode(v string) ([]byte, error)    { return []byte(v), nil }
func (text) Decode(blob []byte) (string, error) { return string(blob), nil }

// ExampleNewTier tests what a store does while its authority fails in each way. The
// authority would be the driver under test, in place of a MemTier.
func ExampleNewTier() {
	ctx := context.Background()
	authority := faulttest.NewTier(new(tiered.MemTier), 1)
	store, err := tiered.New(text{}, authority, &tiered.Options[string]{Memory: -1})
	check(err)
	check(store.Put(ctx, "other", []byte("another")))
	check(store.Put(ctx, "key", []byte("a blob")))
	sum := blob.SumOf([]byte("a blob"))
	for _, c := range []struct {
		name  string
		fault faulttest.Fault
	}{
		{"fail", faulttest.Fault{Err: io.ErrUnexpectedEOF}},
		{"delay", faulttest.Fault{Delay: time.Millisecond}},
		{"hang", faulttest.Fault{Hang: true}},
		{"truncate", faulttest.Fault{Truncate: true}},
		{"misplace", faulttest.Fault{Misplace: true}},
	} {
		rule := authority.Inject(c.fault)
		asking, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		got, err := store.Get(asking, []blob.Ref{{Key: "key", Sum: sum}})
		cancel()
		fmt.Printf("%s %d of %d: %q, an error: %v\n", c.name, rule.Hit(), rule.Seen(), got[0].Value, err != nil)
		authority.Heal()
	}
	check(store.Close(ctx))
	// Output:
	// fail 1 of 1: "", an error: true
	// delay 1 of 1: "a blob", an error: false
	// hang 1 of 1: "", an error: true
	// truncate 1 of 1: "", an error: true
	// misplace 1 of 1: "", an error: true
}

// ExampleFault lets some of the calls go wrong: the same ones for the same seed.
func ExampleFault() {
	ctx := context.Background()
	cache := faulttest.NewTier(&tiered.MemTier{Overwrite: true}, 7)
	cache.Inject(faulttest.Fault{Op: faulttest.Put, Chance: 0.3, Lie: true})
	for i := range 10 {
		check(cache.Put(ctx, fmt.Sprint(i), []byte("x")))
	}
	cache.Heal()
	for i := range 10 {
		found, err := cache.Get(ctx, []string{fmt.Sprint(i)})
		check(err)
		if found[0] == nil {
			fmt.Println("not there, although Put succeeded:", i)
		}
	}
	// Output:
	// not there, although Put succeeded: 0
	// not there, although Put succeeded: 5
	// not there, although Put succeeded: 7
	// not there, although Put succeeded: 9
}

// ExampleNewIndex puts an entry whose answer is lost, and one that becomes visible
// late.
func ExampleNewIndex() {
	ctx := context.Background()
	idx := faulttest.NewIndex(index.NewMemIndex(), 1)
	row := index.RowAt("acme", 0)
	idx.Inject(faulttest.Fault{Op: faulttest.Put, Applied: true, Times: 1})
	fmt.Println("first:", idx.Put(ctx, row, index.Entry{Time: 1, Key: "a"}))
	fmt.Println("again:", errors.Is(idx.Put(ctx, row, index.Entry{Time: 1, Key: "a"}), index.ErrExists))
	idx.Inject(faulttest.Fault{Op: faulttest.Put, Behind: 2, Times: 1})
	check(idx.Put(ctx, row, index.Entry{Time: 2, Key: "b"}))
	check(idx.Put(ctx, row, index.Entry{Time: 3, Key: "c"}))
	for range 2 {
		found, err := idx.Query(ctx, row, 0, 10)
		check(err)
		fmt.Println("visible:", len(found))
	}
	// Output:
	// first: faulttest: injected fault
	// again: true
	// visible: 2
	// visible: 3
}

// ExampleNewLevels swaps a place whose answer is lost.
func ExampleNewLevels() {
	ctx := context.Background()
	idx := faulttest.NewLevels(index.NewMemIndex(), 1)
	set := index.PlaceSet{Tenant: "acme", Level: time.Minute}
	idx.Inject(faulttest.Fault{Op: faulttest.Swap, Applied: true, Times: 1})
	_, err := idx.SwapPlace(ctx, set, "", index.Place{ID: "first"})
	fmt.Println("first:", err)
	swapped, err := idx.SwapPlace(ctx, set, "", index.Place{ID: "second"})
	fmt.Println("again:", swapped, err)
	// Output:
	// first: faulttest: injected fault
	// again: false <nil>
}

// ExampleNewJournal lets a journal's disk fail, and then come back. A test would use
// a journal.Journal, or its own journal, in place of records.
func ExampleNewJournal() {
	ctx := context.Background()
	j := faulttest.NewJournal(&records{}, 1)
	j.Inject(faulttest.Fault{Op: faulttest.Put, Err: errors.New("no space left on device"), Times: 1})
	_, err := j.Append(ctx, 1, nil, []byte("value"))
	fmt.Println("full:", err)
	id, err := j.Append(ctx, 1, nil, []byte("value"))
	fmt.Println("later:", id, err)
	j.Inject(faulttest.Fault{Op: faulttest.Get, Truncate: true})
	_, _, blob, err := j.Read(id)
	fmt.Printf("read: %q %v\n", blob, err)
	// Output:
	// full: no space left on device
	// later: 1 <nil>
	// read: "va" <nil>
}

// records is a journal in memory.
type records struct{ blobs [][]byte }

func (r *records) Append(_ context.Context, _ byte, _, blob []byte) (uint64, error) {
	r.blobs = append(r.blobs, blob)
	return uint64(len(r.blobs)), nil
}
func (r *records) Read(id uint64) (byte, []byte, []byte, error) { return 1, nil, r.blobs[id-1], nil }
func (r *records) End(...uint64)                                {}

// ExampleNewTransport lets a server's answer to a driver's client be cut.
func ExampleNewTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "an answer") }))
	defer server.Close()
	transport := faulttest.NewTransport(&http.Transport{DisableKeepAlives: true}, 1)
	client := &http.Client{Transport: transport}
	transport.Inject(faulttest.Fault{Truncate: true, Times: 1})
	for range 2 {
		answer, err := client.Get(server.URL)
		check(err)
		body, err := io.ReadAll(answer.Body)
		check(answer.Body.Close())
		fmt.Printf("%q, cut: %v\n", body, errors.Is(err, faulttest.ErrReset))
	}
	// Output:
	// "an a", cut: true
	// "an answer", cut: false
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
