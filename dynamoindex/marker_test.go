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

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/httpfault"
	"github.com/timeblob/timeblob/internal/servertest"
)

// clock is one that a test sets.
type clock struct{ seconds atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.seconds.Store(1700000000)
	return c
}

func (c *clock) pass(seconds int64) { c.seconds.Add(seconds) }

// spread returns options of n partitions that go by the clock.
func (c *clock) spread(n int) *dynamoindex.Options {
	opts := spread(n)
	opts.Now = func() time.Time { return time.Unix(c.seconds.Load(), 0) }
	return opts
}

// marked returns the n, was and from of a table's marker, "" when it has none.
func marked(t *testing.T, endpoint, table string) string {
	t.Helper()
	for _, i := range read(t, endpoint, table) {
		if i["hour"].(*types.AttributeValueMemberS).Value != "#partitions" {
			continue
		}
		var all []string
		for _, name := range []string{"n", "was", "from"} {
			all = append(all, i[name].(*types.AttributeValueMemberN).Value)
		}
		return strings.Join(all, " ")
	}
	return ""
}

// TestGrowth: readers and writers of fewer partitions find and follow those of
// more, and no entry is ever missed.
func TestGrowth(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		_, table := fresh(t, endpoint, nil)
		c := newClock()
		reader := openIndex(t, endpoint, table, c.spread(1))
		one, four := openIndex(t, endpoint, table, c.spread(1)), openIndex(t, endpoint, table, c.spread(4))
		e := entries(someRow, 400)
		var done []index.Entry
		step := func(writer *dynamoindex.Index, want string, keys int) {
			t.Helper()
			next := e[len(done):][:40]
			put(t, writer, someRow, next...)
			done = append(done, next...)
			if got := marked(t, endpoint, table); got != want {
				t.Fatalf("the marker is %q, want %q", got, want)
			}
			checkKeys(t, endpoint, table, keys)
			expect(t, reader, someRow, done)
			expect(t, openIndex(t, endpoint, table, c.spread(1)), someRow, done)
			if err := openIndex(t, endpoint, table, c.spread(2)).Put(t.Context(), someRow, next[3]); !errors.Is(err, index.ErrExists) {
				t.Errorf("another writer's put of a taken instant: got error %v, want ErrExists", err)
			}
		}
		expect(t, reader, someRow, nil) // and does not look again for a minute
		put(t, one, someRow, e[0])
		done = e[:1:1]
		if got := marked(t, endpoint, table); got != "" {
			t.Fatalf("a writer of one partition wrote the marker %q", got)
		}
		c.pass(1)
		step(four, "4 1 1700000127", 1) // 65 s and the timeout of a minute later
		c.pass(124)
		step(four, "4 1 1700000127", 1)
		step(openIndex(t, endpoint, table, c.spread(8)), "4 1 1700000127", 1) // waits
		c.pass(2)
		step(one, "4 1 1700000127", 4)
		step(four, "4 1 1700000127", 4)
		step(openIndex(t, endpoint, table, c.spread(8)), "8 4 1700000253", 4)
		c.pass(126)
		step(one, "8 4 1700000253", 8)
		step(four, "8 4 1700000253", 8)
		if rows, err := reader.Rows(t.Context()); err != nil || !slices.Equal(rows, []index.Row{someRow}) {
			t.Errorf("rows: got %v and error %v", rows, err)
		}
	})
}

func checkKeys(t *testing.T, endpoint, table string, want int) {
	t.Helper()
	if got := keys(t, endpoint, table); len(got) != want {
		t.Fatalf("entries are under %d keys, want %d: %v", len(got), want, got)
	}
}

// TestRivalsGrow: of many who raise the number at once, one does.
func TestRivalsGrow(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	_, table := fresh(t, endpoint, nil)
	c := newClock()
	e := entries(someRow, 12)
	var done sync.WaitGroup
	for i, e := range e {
		x := openIndex(t, endpoint, table, c.spread(2+i))
		done.Go(func() { put(t, x, someRow, e) })
	}
	done.Wait()
	if got := marked(t, endpoint, table); !strings.HasSuffix(got, " 1 1700000126") {
		t.Errorf("the marker is %q, want one growth from 1", got)
	}
	checkKeys(t, endpoint, table, 1)
	expect(t, openIndex(t, endpoint, table, c.spread(1)), someRow, e)
}

// TestLookIsShared: callers at once read the marker once, and once a minute.
func TestLookIsShared(t *testing.T) {
	t.Parallel()
	c := newClock()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), c.spread(1))
	looks := transport.Inject(httpfault.Fault{Match: operation("GetItem")})
	for _, s := range []struct {
		passes int64
		want   int
	}{{0, 0}, {59, 0}, {1, 1}, {59, 1}, {1, 2}} {
		c.pass(s.passes)
		var done sync.WaitGroup
		for range 8 {
			done.Go(func() { expect(t, x, someRow, nil) })
		}
		done.Wait()
		if looks.Seen() != s.want {
			t.Errorf("%d reads of the marker, want %d", looks.Seen(), s.want)
		}
	}
}

// TestLookFails: what is not known is not guessed, and is asked again.
func TestLookFails(t *testing.T) {
	t.Parallel()
	c := newClock()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), c.spread(1))
	e := entries(someRow, 1)
	put(t, x, someRow, e...)
	c.pass(60)
	transport.Inject(httpfault.Fault{Match: operation("GetItem"), Status: http.StatusForbidden,
		Body: `{"__type":"AccessDeniedException"}`})
	_, query := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
	_, rows := x.Rows(t.Context())
	later := x.Put(t.Context(), someRow, index.Entry{Time: e[0].Time + 1, Key: "k"})
	for _, err := range []error{query, rows, later} {
		if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("got error %v, want the refusal", err)
		}
	}
	transport.Heal()
	expect(t, x, someRow, e)
}

// TestLookGivenUp: who waits for another's look does not fail when that one
// gives up, and can give up as well.
func TestLookGivenUp(t *testing.T) {
	t.Parallel()
	c := newClock()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), c.spread(1))
	c.pass(60)
	hung := transport.Inject(httpfault.Fault{Match: operation("GetItem"), Hang: true, Times: 1})
	ask := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := x.Query(ctx, someRow, someRow.Start(), someRow.End())
			done <- err
		}()
		return done
	}
	first, cancel := context.WithCancel(t.Context())
	firstDone := ask(first)
	for hung.Hit() == 0 {
		time.Sleep(time.Millisecond)
	}
	impatient, giveUp := context.WithTimeout(t.Context(), time.Millisecond)
	defer giveUp()
	if err := <-ask(impatient); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one who waited: got error %v, want its own deadline", err)
	}
	patientDone := ask(t.Context())
	cancel()
	if err := <-firstDone; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who looked: got error %v, want context.Canceled", err)
	}
	if err := <-patientDone; err != nil {
		t.Errorf("the patient one: got error %v", err)
	}
}

func TestBrokenMarkers(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	_, table := fresh(t, endpoint, nil)
	for _, m := range []item{marker(65, 1, 1), marker(0, 0, 1), marker(2, 3, 1), marker(2, 1, -1), {"hour": text("#partitions"), "ts": number(0)}} {
		write(t, endpoint, table, m)
		_, err := openIndex(t, endpoint, table, nil).Query(t.Context(), someRow, 0, someRow.End())
		if err == nil || !strings.Contains(err.Error(), `"#partitions"`) {
			t.Errorf("marker %v: got error %v, want one that names it", m, err)
		}
	}
}
