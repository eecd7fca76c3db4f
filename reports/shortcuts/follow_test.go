package shortcuts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/logtest"
	"github.com/timeblob/timeblob/reports/internal/reportstest"
)

// TestFollow checks that a service is subscribed to a tenant's subject, once, while
// somebody waits for the tenant, and not otherwise.
func TestFollow(t *testing.T) {
	t.Parallel()
	bus := new(reportstest.Bus)
	f := setup(t, bus, nil)
	one, two := make(chan struct{}, 1), make(chan struct{}, 1)
	want := func(subjects ...string) {
		t.Helper()
		if got := bus.Subjects(); !slices.Equal(got, subjects) {
			t.Errorf("subscribed to %q, want %q", got, subjects)
		}
	}
	wait := func(tenant string, c chan struct{}) {
		t.Helper()
		if err := f.WaitOn(tenant, c); err != nil {
			t.Error(err)
		}
	}
	f.UnWait("a", one) // who does not wait
	want()
	wait("a", one)
	wait("a", one)
	wait("a", two)
	want("a")
	wait("a.b", one)
	wait("", one)
	want("a", "a.b", "tenant=")
	f.UnWait("a", one)
	f.UnWait("a", one)
	want("a", "a.b", "tenant=")
	f.UnWait("a", two)
	f.UnWait("", one)
	want("a.b")
	wait("a", two)
	want("a", "a.b")
	f.closed(t)
	want()
	if err := f.WaitOn("c", one); !errors.Is(err, bucket.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	f.UnWait("a", two)
	f.closed(t)
	want()
}

// TestFollowAgain checks that a subscription that failed is made when the bus is
// well again, if somebody waits still.
func TestFollowAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		said := new(logtest.Journal)
		bus := new(reportstest.Bus)
		bus.Fail(reportstest.Faults{Subscribe: errors.New("broken")})
		f := logged(t, bus, said)
		stays, leaves := make(chan struct{}, 1), make(chan struct{}, 1)
		if err := errors.Join(f.WaitOn("stays", stays), f.WaitOn("leaves", leaves)); err != nil {
			t.Fatal(err)
		}
		f.UnWait("leaves", leaves)
		if len(bus.Subjects()) != 0 || said.Lines("cannot subscribe") != 1 {
			t.Errorf("subscribed to %q, said %s", bus.Subjects(), said)
		}
		bus.Fail(reportstest.Faults{})
		f.Sweep()
		if got := bus.Subjects(); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("subscribed to %q", got)
		}
		f.closed(t)
	})
}

// TestFollowRace lets many waiters come and go in any order. Afterwards exactly the subjects of remaining waiters are subscribed.
func TestFollowRace(t *testing.T) {
	t.Parallel()
	bus := new(reportstest.Bus)
	f := setup(t, bus, nil)
	defer f.closed(t)
	var coming sync.WaitGroup
	for i := range 16 {
		coming.Go(func() {
			for range 300 {
				tenant := fmt.Sprint("t", rand.IntN(3))
				c := make(chan struct{}, 1)
				if err := f.WaitOn(tenant, c); err != nil {
					t.Error(err)
				}
				f.UnWait(tenant, c)
			}
			if i == 0 {
				if err := f.WaitOn("t1", make(chan struct{}, 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	coming.Wait()
	if got := bus.Subjects(); !slices.Equal(got, []string{"t1"}) {
		t.Errorf("subscribed to %q", got)
	}
}

// FuzzSubject checks for any tenant ids that a subject is literal and belongs to one tenant only.
func FuzzSubject(f *testing.F) {
	for _, ids := range [][2]string{{"", "tenant="}, {"a", "a.b"}, {">", "*"}, {"a.*", "a.b"}, {"a..b", "a.b"}, {"$SYS", "_INBOX.x"},
		{"a b", "a\r\nSUB > 1"}, {strings.Repeat("a", 65), strings.Repeat("a.", 32)}, {"-", "_"}, {"tenant", "tenant."}} {
		f.Add(ids[0], ids[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, err := subjectOf(a)
		if err != nil {
			if !isA[*index.TenantError](err) || one != "" && index.CheckTenant(a) == nil {
				t.Errorf("%q: %q, %v", a, one, err)
			}
			return
		}
		if parts := strings.Split(one, "."); strings.ContainsAny(one, "*> \t\r\n\x00") || slices.Contains(parts, "") || len(one) > 64 {
			t.Errorf("the subject of %q is %q", a, one)
		}
		two, err := subjectOf(b)
		if err == nil && (a == b) != (one == two) {
			t.Errorf("tenants %q and %q have the subjects %q and %q", a, b, one, two)
		}
	})
}
