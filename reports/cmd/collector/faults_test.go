package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
)

// unreliable is a table and a bucket behind transports that fail.
type unreliable struct {
	index            *dynamoindex.Index
	values           *tiered.Store[tally]
	toTable, toBlobs *faulttest.Transport
}

// openUnreliable opens an existing table and bucket with the given number of attempts for each request.
func openUnreliable(t *testing.T, table, blobs string, attempts int) *unreliable {
	t.Helper()
	u := &unreliable{toTable: faulttest.NewTransport(&http.Transport{}, 1), toBlobs: faulttest.NewTransport(&http.Transport{}, 2)}
	cfg, name := awsAt(table)
	cfg.HTTPClient = &http.Client{Transport: u.toTable}
	u.index = must1(dynamoindex.New(cfg, name,
		&dynamoindex.Options{Attempts: attempts, AttemptTimeout: 500 * time.Millisecond}))
	cfg, name = awsAt(blobs)
	cfg.HTTPClient = &http.Client{Transport: u.toBlobs}
	tier := must1(s3blob.Open(cfg, name,
		&s3blob.Options{PathStyle: true, Attempts: attempts, AttemptTimeout: 500 * time.Millisecond}))
	u.values = must1(tiered.New(tallies{}, tier, &tiered.Options[tally]{Memory: -1}))
	t.Cleanup(func() {
		u.values.Close(context.Background())
		u.toTable.CloseIdleConnections()
		u.toBlobs.CloseIdleConnections()
	})
	return u
}

// fail makes requests fail in every way that servers do.
func (u *unreliable) fail() {
	throttled := faulttest.Fault{Chance: 0.1, Status: http.StatusBadRequest,
		Body: `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}`}
	u.toTable.Inject(throttled)
	u.toBlobs.Inject(faulttest.Fault{Chance: 0.1, Status: http.StatusServiceUnavailable, Body: `<Error><Code>SlowDown</Code></Error>`})
	for _, to := range []*faulttest.Transport{u.toTable, u.toBlobs} {
		for _, f := range []faulttest.Fault{{Status: http.StatusServiceUnavailable}, {Err: faulttest.ErrReset}, {Applied: true}, {Hang: true}, {Truncate: true}} {
			f.Chance = 0.05
			to.Inject(f)
		}
	}
}

func (u *unreliable) heal() {
	u.toTable.Heal()
	u.toBlobs.Heal()
}

// besieged is a collector with ten tenants and one more whose puts hang.
type besieged struct {
	*bucket.Collector[tally]
	tenants       []string // the puts of the last one hang
	want          tally    // the sums of each tenant
	clock         atomic.Int64
	stored, early atomic.Int64 // the numbers of stored values; early counts the last tenant's
}

const stuck = "stuck"

// siegeBegin is the instant of the first value. Ticks are a second apart.
var siegeBegin = time.Unix(1_700_000_000, 0)

// besiege seals eight values for each tenant and stores none.
func besiege(t *testing.T, u *unreliable) *besieged {
	t.Helper()
	b := &besieged{want: tally{}, tenants: []string{stuck}}
	for i := range 10 {
		b.tenants = append([]string{fmt.Sprint("t", i)}, b.tenants...)
	}
	b.Collector = must1(bucket.NewCollector(u.index, u.values, addUp, &bucket.CollectorOptions[tally]{
		Size: func(tally) int64 { return 64 }, Deadline: time.Second, Backoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond,
		Now: func() time.Time { return siegeBegin.Add(time.Duration(b.clock.Load()) * time.Second) },
		Stored: func(tenant string, _ index.Entry, _ int) {
			if b.stored.Add(1); tenant == stuck {
				b.early.Add(1)
			}
		},
	}))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 8 {
		b.clock.Store(int64(i))
		b.want[fmt.Sprint(i)] = 1
		for _, tenant := range b.tenants {
			if err := b.Add(context.Background(), tenant, tally{fmt.Sprint(i): 1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		_ = b.Flush(ended)
	}
	b.clock.Store(60)
	return b
}

// TestFlushThroughFaults lets one tenant's puts hang and a third of all requests fail. The values of other
// tenants become discoverable, nothing is lost, and no answer is partial without an error.
func TestFlushThroughFaults(t *testing.T) {
	t.Parallel()
	table, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	create(t, table, blobs)
	u := openUnreliable(t, table, blobs, 4)
	prefix := path.Dir(index.RowAt(stuck, siegeBegin.UnixNano()).BlobKey(0))
	hangs := u.toBlobs.Inject(faulttest.Fault{Hang: true,
		Match: func(c faulttest.Call) bool { return strings.Contains(c.Request.URL.Path, prefix) }})
	u.fail()
	b := besiege(t, u)

	flushing, stop := context.WithTimeout(t.Context(), 4*time.Minute)
	defer stop()
	flushed := make(chan error, 1)
	go func() { flushed <- b.Flush(flushing) }()
	others := int64(8 * (len(b.tenants) - 1))
	for b.stored.Load() < others && flushing.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if b.stored.Load() != others || b.early.Load() != 0 || hangs.Hit() == 0 {
		t.Errorf("%d values are stored, %d of the tenant whose puts hung %d times", b.stored.Load(), b.early.Load(), hangs.Hit())
	}
	got, err := b.Range(t.Context(), stuck, siegeBegin, siegeBegin.Add(time.Minute), nil)
	for err != nil && flushing.Err() == nil { // about one question in a hundred fails in each of its attempts
		got, err = b.Range(t.Context(), stuck, siegeBegin, siegeBegin.Add(time.Minute), nil)
	}
	if err != nil || !maps.Equal(got.Value, b.want) {
		t.Errorf("the tenant whose puts hang is answered %v, %v", got, err)
	}
	u.heal()
	if err := <-flushed; err != nil {
		t.Error(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	checkReads(t, openUnreliable(t, table, blobs, 1), b)
}

// checkReads asks for every tenant's values, first with faults that are not retried, then without faults.
func checkReads(t *testing.T, u *unreliable, b *besieged) {
	t.Helper()
	past := must1(bucket.NewQuantizer(u.index, u.values, addUp,
		&bucket.QuantizerOptions[tally]{CacheBytes: -1, Size: func(tally) int64 { return 64 }}))
	read := func(tenant string) error {
		got, err := past.Range(t.Context(), tenant, siegeBegin, siegeBegin.Add(time.Minute), nil)
		if err == nil && !maps.Equal(got.Value, b.want) {
			t.Errorf("tenant %s is answered %v without an error", tenant, got.Value)
		}
		return err
	}
	u.fail()
	failures := 0
	for range 6 {
		for _, tenant := range b.tenants {
			if read(tenant) != nil {
				failures++
			}
		}
	}
	u.heal()
	for _, tenant := range b.tenants {
		err := read(tenant)
		for tries := 1; err != nil && tries < 20; tries++ { // the one attempt is short for a busy machine
			err = read(tenant)
		}
		if err != nil {
			t.Errorf("tenant %s: %v", tenant, err)
		}
	}
	if failures == 0 {
		t.Error("no read failed")
	}
}
