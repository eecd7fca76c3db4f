package dynamoindex_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
)

// throttling is DynamoDB's answer when a table's capacity is used up.
var throttling = faulttest.Fault{
	Status: http.StatusBadRequest,
	Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
	Body:   `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`,
}

// TestAFifthFails checks that acknowledged entries are found and that the number of extra requests is limited.
func TestAFifthFails(t *testing.T) {
	t.Parallel()
	other := throttling
	other.Body = `{"__type":"com.amazon.coral.availability#ThrottlingException","message":"slow down"}`
	for name, c := range map[string]struct {
		fault faulttest.Fault
		most  float64 // requests an operation
	}{
		"503":          {faulttest.Fault{Status: http.StatusServiceUnavailable, Body: "<html>"}, 1.5},
		"500":          {faulttest.Fault{Status: http.StatusInternalServerError, Body: `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}`}, 1.5},
		"capacity":     {throttling, 1.5},
		"throttled":    {other, 1.5},
		"reset":        {faulttest.Fault{Err: faulttest.ErrReset}, 1.5},
		"empty answer": {faulttest.Fault{Status: http.StatusOK}, 1.5},
		// A put that landed is asked after, on servers as old as these.
		"answer lost":    {faulttest.Fault{Applied: true}, 1.8},
		"answer cut":     {faulttest.Fault{Truncate: true}, 1.8},
		"answer corrupt": {faulttest.Fault{Corrupt: true}, 1.8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := patient()
			opts.Attempts = 12
			x, transport, _ := faulty(t, servertest.SharedDynalite(t), opts)
			c.fault.Chance = 0.2
			rule := transport.Inject(c.fault)
			operations := putAndQuery(t, x, 120, 60)
			if rule.Hit() == 0 {
				t.Error("no request failed")
			}
			if each := float64(rule.Seen()) / float64(operations); each > c.most {
				t.Errorf("%.2f requests an operation, want at most %v", each, c.most)
			}
		})
	}
}

// putAndQuery puts entries, some at a time, and queries the row, and returns
// how many operations that took.
func putAndQuery(t *testing.T, x *dynamoindex.Index, puts, queries int) (operations int) {
	want := entries(someRow, puts)
	var group errgroup.Group
	group.SetLimit(16)
	for _, e := range want {
		group.Go(func() error { return x.Put(t.Context(), someRow, e) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for range queries {
		expect(t, x, someRow, want)
	}
	return puts + queries
}

// TestLandedPut loses the answer of a put that took effect.
func TestLandedPut(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, transport, table := faulty(t, endpoint, patient())
		e := entries(someRow, 2)
		lost := transport.Inject(faulttest.Fault{Match: operation("PutItem"), Applied: true, Times: 1})
		put(t, x, someRow, e[0])
		if lost.Hit() != 1 {
			t.Fatal("no answer was lost")
		}
		expect(t, x, someRow, e[:1])
		if err := x.Put(t.Context(), someRow, e[0]); !errors.Is(err, index.ErrExists) {
			t.Errorf("the same put again: got error %v, want ErrExists", err)
		}
		write(t, endpoint, table, scopeItem(someRow, e[1]))
		if err := x.Put(t.Context(), someRow, e[1]); !errors.Is(err, index.ErrExists) {
			t.Errorf("put of what Scope has put: got error %v, want ErrExists", err)
		}
	})
}

// TestAPutWhoseFirstTryIsUnderWay loses a first try of a put. The second one finds the instant taken by another writer. The first one may
// still take effect if that entry goes, so the error is not ErrExists. After a try that was refused it is.
func TestAPutWhoseFirstTryIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault faulttest.Fault
		taken bool
	}{
		"no answer": {faulttest.Fault{Err: faulttest.ErrReset}, false},
		"throttled": {throttling, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, endpoint string) {
				x, transport, table := faulty(t, endpoint, patient())
				e := entries(someRow, 1)[0]
				write(t, endpoint, table, scopeItem(someRow, e))
				c.fault.Match, c.fault.Times = operation("PutItem"), 1
				transport.Inject(c.fault)
				if err := x.Put(t.Context(), someRow, e); err == nil || errors.Is(err, index.ErrExists) != c.taken {
					t.Errorf("got error %v", err)
				}
				if err := x.Put(t.Context(), someRow, e); !errors.Is(err, index.ErrExists) {
					t.Errorf("the next put: got error %v, want ErrExists", err)
				}
			})
		})
	}
}

// TestUnknownWhoHasTheInstant checks that when nobody says whose entry it is, the put
// fails with another error than ErrExists.
func TestUnknownWhoHasTheInstant(t *testing.T) {
	t.Parallel()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), patient())
	e := entries(someRow, 1)[0]
	put(t, x, someRow, e)
	transport.Inject(faulttest.Fault{Match: operation("GetItem"), Status: http.StatusForbidden, Body: "{}"})
	if err := x.Put(t.Context(), someRow, e); err == nil || errors.Is(err, index.ErrExists) {
		t.Errorf("got error %v, want that of the read", err)
	}
}

// TestRivals lets two writers put the same entries while answers are lost: one
// of them each is told so.
func TestRivals(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	opts := patient()
	opts.Attempts = 12
	_, table := fresh(t, endpoint, nil)
	want := entries(someRow, 80)
	won := make([]atomic.Int64, len(want))
	var done sync.WaitGroup
	for range 2 {
		cfg, transport := faultyConfig(t, endpoint)
		transport.Inject(faulttest.Fault{Applied: true, Chance: 0.3})
		x := openWith(t, cfg, table, opts)
		done.Go(func() {
			for i, e := range want {
				err := x.Put(t.Context(), someRow, e)
				if err != nil && !errors.Is(err, index.ErrExists) { // it is taken, and the first try may be under way
					err = x.Put(t.Context(), someRow, e)
				}
				if err == nil {
					won[i].Add(1)
				} else if !errors.Is(err, index.ErrExists) && !strings.Contains(err.Error(), "may still take effect") {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	for i := range won {
		if n := won[i].Load(); n != 1 {
			t.Errorf("instant %d was put %d times, want once", want[i].Time, n)
		}
	}
	expect(t, openIndex(t, endpoint, table, nil), someRow, want)
}

// slow are the ways in which an answer may take for ever.
var slow = map[string]faulttest.Fault{
	"hang":      {Hang: true},
	"stall":     {Stall: true},
	"slow body": {Pace: time.Hour},
}

// TestOneAttemptIsSlow checks that the next one is made in time.
func TestOneAttemptIsSlow(t *testing.T) {
	t.Parallel()
	for name, fault := range slow {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, transport, _ := faulty(t, servertest.SharedDynalite(t),
				&dynamoindex.Options{AttemptTimeout: 2 * time.Second, Timeout: 2 * time.Minute, Attempts: 10})
			want := entries(someRow, 3)
			fault.Times = 1
			putting := transport.Inject(fault)
			put(t, x, someRow, want...)
			querying := transport.Inject(fault)
			expect(t, x, someRow, want)
			if putting.Hit() != 1 || querying.Hit() != 1 {
				t.Errorf("%d and %d slow attempts, want one each", putting.Hit(), querying.Hit())
			}
		})
	}
}

// TestAllAttemptsAreSlow checks that Options.Timeout ends them without a context.
func TestAllAttemptsAreSlow(t *testing.T) {
	t.Parallel()
	for name, fault := range slow {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, transport, _ := faulty(t, servertest.SharedDynalite(t),
				&dynamoindex.Options{AttemptTimeout: 100 * time.Millisecond, Timeout: 2 * time.Second, Attempts: 20})
			transport.Inject(fault)
			begun := time.Now()
			_, err := x.Query(context.Background(), someRow, 0, someRow.End())
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no success in 2s and") ||
				!strings.Contains(err.Error(), "no answer in 100ms") {
				t.Errorf("query: got error %v, want one of the deadlines", err)
			}
			err = x.Put(context.Background(), someRow, entries(someRow, 1)[0])
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("put: got error %v, want context.DeadlineExceeded", err)
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v to give up twice after 2s", took)
			}
		})
	}
}

// TestAttemptsEnd checks that a fault that stays is an error that names it.
func TestAttemptsEnd(t *testing.T) {
	t.Parallel()
	opts := patient()
	opts.Attempts = 3
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), opts)
	rule := transport.Inject(faulttest.Fault{Corrupt: true})
	_, err := x.Query(t.Context(), someRow, 0, someRow.End())
	if err == nil || !strings.Contains(err.Error(), "CRC-32") || rule.Hit() != 3 {
		t.Errorf("got error %v after %d attempts, want a wrong checksum after 3", err, rule.Hit())
	}
	transport.Heal()
	rule = transport.Inject(faulttest.Fault{Status: http.StatusForbidden, Body: `{"__type":"AccessDeniedException","message":"no"}`})
	err = x.Put(t.Context(), someRow, entries(someRow, 1)[0])
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") || rule.Hit() != 1 {
		t.Errorf("got error %v after %d attempts, want a refusal after 1", err, rule.Hit())
	}
}

// TestOutage checks that an outage uses the budget of retries up, and time gives it back.
func TestOutage(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	opts := patient()
	opts.Attempts, opts.Now = 5, func() time.Time { return time.Unix(0, clock.Load()) }
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), opts)
	outage := transport.Inject(faulttest.Fault{Err: faulttest.ErrReset})
	e := entries(someRow, 100)
	var calls sync.WaitGroup
	for _, e := range e[:50] {
		calls.Go(func() {
			if err := x.Put(t.Context(), someRow, e); err == nil {
				t.Error("a put succeeded during the outage")
			}
		})
	}
	calls.Wait()
	if outage.Hit() != 50+100 {
		t.Errorf("50 calls made %d attempts, want the 100 retries of the budget", outage.Hit()-50)
	}
	transport.Heal()
	put(t, x, someRow, e[50])
	transport.Inject(faulttest.Fault{Err: faulttest.ErrReset, Times: 1})
	if err := x.Put(t.Context(), someRow, e[51]); err == nil {
		t.Error("a retry was made with an empty budget")
	}
	clock.Add(int64(100 * time.Millisecond)) // one retry
	transport.Inject(faulttest.Fault{Err: faulttest.ErrReset, Times: 1})
	put(t, x, someRow, e[52])
	expect(t, x, someRow, slices.Concat(e[50:51], e[52:53]))
}
