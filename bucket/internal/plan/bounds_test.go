package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// Every value of a scale takes bytesOfValue of memory, four times its blob.
const (
	bytesOfBlob  = 10
	bytesOfValue = 40
)

// scale is a store whose values are one letter each. It counts the bytes of the
// values that were read and are not merged yet.
type scale struct {
	wait time.Duration // of a Get

	mu         sync.Mutex // guards what follows
	calls      int
	held, most int64
}

func (s *scale) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[string], error) {
	results := make([]blob.Result[string], len(refs))
	for i, ref := range refs {
		results[i] = blob.Result[string]{Value: ref.Key[:1], Found: true, Size: bytesOfBlob}
	}
	s.add(len(refs))
	time.Sleep(s.wait)
	return results, nil
}

func (s *scale) add(values int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held += int64(values) * bytesOfValue; values > 0 {
		s.calls++
	}
	s.most = max(s.most, s.held)
}

func (s *scale) merge(parts []string) (string, error) {
	for _, part := range parts {
		if len(part) == 1 {
			s.add(-1)
		}
	}
	return mergeLetters(parts)
}

// question returns a question about n entries, a step apart.
func (s *scale) question(tenant string, n int, step, size int64) Question[string] {
	entries := make([]index.Entry, n)
	for i := range entries {
		entries[i] = index.Entry{Time: int64(i) * step, Key: fmt.Sprint("v", i), Size: size}
	}
	return Question[string]{Series: []Series{{Tenant: tenant, Entries: entries}}, To: int64(n) * step}
}

func (s *scale) past(t testing.TB, budget int64, batch int) *Past[string] {
	p := newPast(t, index.NewMemIndex(), s, func(o *Options[string]) {
		o.Budget, o.Batch, o.Size = budget, batch, func(v string) int64 { return bytesOfValue }
	})
	p.user = s.merge
	return p
}

// TestManyQuestionsShareTheBudget holds: questions at the same time read no more
// than the budget together, and as many as fit.
func TestManyQuestionsShareTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scale{wait: time.Second}
		p := s.past(t, 10*bytesOfValue, 4)
		var asked sync.WaitGroup
		for i := range 16 {
			asked.Go(func() {
				a, err := p.Answer(t.Context(), s.question(fmt.Sprint(i), 12, int64(4*time.Second), bytesOfBlob))
				if err != nil || len(a.Value) != 12 || a.Count != 12 {
					t.Errorf("question %d: %+v, %v", i, a, err)
				}
			})
		}
		asked.Wait()
		if s.most != 8*bytesOfValue || s.held != 0 {
			t.Errorf("%d bytes at a time, %d left, want two batches of four values and none", s.most, s.held)
		}
	})
}

// TestALargeQuantumIsReadInParts holds: a quantum is no reason to exceed the
// budget.
func TestALargeQuantumIsReadInParts(t *testing.T) {
	t.Parallel()
	s := &scale{}
	p := s.past(t, 10*bytesOfValue, 256)
	q := s.question("t", 64, 1, bytesOfBlob)
	q.To = int64(3 * time.Second)
	a, err := p.Answer(t.Context(), q)
	if err != nil || a.Count != 64 || len(a.Value) != 64 || s.most > 10*bytesOfValue {
		t.Errorf("got %+v, %v with %d bytes at a time", a, err, s.most)
	}
	for slice, err := range p.Steps(t.Context(), q, q.To) {
		if err != nil || slice.Count != 64 || s.most > 10*bytesOfValue {
			t.Errorf("step %+v, %v with %d bytes at a time", slice, err, s.most)
		}
	}
}

// TestWaitingForTheBudgetEnds lets a question leave while another one has all of
// the budget.
func TestWaitingForTheBudgetEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scale{wait: time.Hour}
		p := s.past(t, 10*bytesOfValue, 256)
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := p.Answer(t.Context(), s.question("a", 10, int64(time.Second), bytesOfBlob)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := p.Answer(ctx, s.question("b", 2, int64(time.Second), bytesOfBlob))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second || s.calls != 1 {
			t.Errorf("got %v after %v and %d reads", err, time.Since(begun), s.calls)
		}
		first.Wait()
	})
}

// TestAValueLargerThanTheBudgetIsRefused refuses every kind of question before it
// reads.
func TestAValueLargerThanTheBudgetIsRefused(t *testing.T) {
	t.Parallel()
	s := &scale{}
	p := s.past(t, 10*bytesOfValue, 256)
	q := s.question("t", 2, 1, 101)
	_, err := p.Answer(t.Context(), q)
	errs := []error{err}
	for _, err := range p.Steps(t.Context(), q, 1) {
		errs = append(errs, err)
	}
	for _, err := range p.Values(t.Context(), q) {
		errs = append(errs, err)
	}
	for _, err := range errs {
		if e, ok := errors.AsType[*RangeTooLargeError](err); !ok || e.Option != "MaxDecodedBytes" || e.Bytes != 404 || e.Limit != 400 {
			t.Errorf("got %v", err)
		}
	}
	if len(errs) != 3 || s.calls != 0 {
		t.Errorf("%d refusals after %d reads", len(errs), s.calls)
	}
}

// TestACancelledQuestionEndsWithinOneMerge cancels in the first of many merges.
func TestACancelledQuestionEndsWithinOneMerge(t *testing.T) {
	t.Parallel()
	s := &scale{}
	p := s.past(t, 1<<20, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	p.user = func(parts []string) (string, error) {
		calls++
		cancel()
		return mergeLetters(parts)
	}
	q := s.question("t", 1000, int64(4*time.Second), bytesOfBlob)
	if _, err := p.Answer(ctx, q); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("got %v after %d merges", err, calls)
	}
}

var errPoison = errors.New("no letter")

// poisoned returns a Past that refuses every merge with an x in it, and the
// question about its entries: a, x and b in one step, c and d in the next.
func poisoned(t *testing.T) (*Past[string], Question[string]) {
	idx, blobs := index.NewMemIndex(), texts{}
	for i, letter := range []string{"a", "x", "b", "c", "d"} {
		blobs[letter] = letter
		put(t, idx, time.Duration(i)*time.Second, letter)
	}
	p := newPast(t, idx, blobs, nil)
	p.user = func(parts []string) (string, error) {
		for _, part := range parts {
			if part == "x" {
				return "", errPoison
			}
		}
		return mergeLetters(parts)
	}
	series, err := p.Read(t.Context(), "t", 0, int64(5*time.Second), View{})
	if err != nil {
		t.Fatal(err)
	}
	return p, Question[string]{Series: []Series{series}, To: int64(5 * time.Second)}
}

// TestPoisonInSteps names the value that is refused, and only that one.
func TestPoisonInSteps(t *testing.T) {
	t.Parallel()
	p, q := poisoned(t)
	for _, err := range p.Steps(t.Context(), q, int64(3*time.Second)) {
		if e, ok := errors.AsType[*MergeError](err); !ok || e.Tenant != "t" || len(e.Entries) != 1 || e.Entries[0].Key != "x" {
			t.Errorf("got %v", err)
		}
	}
	q.Partial = true
	q.Extra = []Extra[string]{{Tenant: "t", Time: int64(4 * time.Second), Value: "x"}, {Tenant: "t", Time: int64(4 * time.Second), Key: "e", Value: "e"}}
	var got []string
	for s, err := range p.Steps(t.Context(), q, int64(3*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(s.Value, s.Count))
		for _, m := range s.Missing {
			got = append(got, fmt.Sprint(m.Tenant, m.Key, m.Time.Unix(), errors.Is(m.Err, errPoison)))
		}
	}
	if want := []string{"ab2", "tx1 true", "cde3", "t4 true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestABadOpenTickLeavesTheHistory holds: of an open tick and the merge of all
// that is stored, the open tick is refused, whether the merge is kept or not.
func TestABadOpenTickLeavesTheHistory(t *testing.T) {
	t.Parallel()
	p, q := poisoned(t)
	q.Series[0].Entries = q.Series[0].Entries[2:]
	q.Partial = true
	if a, err := p.Answer(t.Context(), q); a.Value != "bcd" || err != nil {
		t.Fatalf("got %+v, %v", a, err)
	}
	q.Extra = []Extra[string]{{Tenant: "other", Time: 7, Value: "x"}}
	for _, cached := range []bool{true, false} {
		if !cached {
			p.cache = nil
		}
		a, err := p.Answer(t.Context(), q)
		if err != nil || a.Value != "bcd" || a.Count != 3 || len(a.Missing) != 1 ||
			a.Missing[0].Tenant != "other" || a.Missing[0].Time.UnixNano() != 7 || a.Missing[0].Key != "" {
			t.Errorf("cached %v: got %+v, %v", cached, a, err)
		}
	}
}

// TestPartialValuesAndSteps loses a blob.
func TestPartialValuesAndSteps(t *testing.T) {
	t.Parallel()
	p, q := poisoned(t)
	delete(p.blobs.(texts), "x")
	for _, err := range p.Values(t.Context(), q) {
		if e, ok := errors.AsType[*MissingError](err); err != nil && (!ok || e.Keys()[0] != "x") {
			t.Errorf("values: %v", err)
		}
	}
	q.Partial = true
	var got []string
	for item, err := range p.Values(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(item.Entry.Key, item.Value, errors.Is(item.Err, ErrNoBlob)))
	}
	for s, err := range p.Steps(t.Context(), q, int64(3*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(s.Value, len(s.Missing)))
	}
	want := []string{"aafalse", "xtrue", "bbfalse", "ccfalse", "ddfalse", "ab1", "cd0"}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// hangingOnTen lets merges of ten values wait until released is closed.
func hangingOnTen(p *Past[string]) (released chan struct{}) {
	merge := p.user
	released = make(chan struct{})
	p.user = func(parts []string) (string, error) {
		if len(parts) == 10 {
			<-released
		}
		return merge(parts)
	}
	return released
}

// TestAHungQuestionGivesItsPartBack lets the merges of two tenants never return. Each
// reads all that may be read at a time. Others are answered two minutes later, and more
// questions of the two are refused until they have returned.
func TestAHungQuestionGivesItsPartBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scale{}
		p := s.past(t, 10*bytesOfValue, 256)
		released := hangingOnTen(p)
		var hung sync.WaitGroup
		ask := func(tenant string, n int) error {
			q := s.question(tenant, n, int64(time.Second), bytesOfBlob)
			q.once = true
			a, err := p.Answer(t.Context(), q)
			if err == nil && a.Count != n {
				t.Errorf("%d values of %d", a.Count, n)
			}
			return err
		}
		for i := range 8 {
			hung.Go(func() {
				err := ask(fmt.Sprint("hangs", i%2), 10)
				if stuck, ok := errors.AsType[*StuckError](err); err != nil && (!ok || stuck.Tenant != fmt.Sprint("hangs", i%2)) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		for i := range 10 {
			if err := ask(fmt.Sprint(i), 9); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != 2*maxFetch {
			t.Errorf("others were answered after %v", took)
		}
		if _, ok := errors.AsType[*StuckError](ask("hangs1", 3)); !ok {
			t.Error("a tenant whose question hangs may ask another")
		}
		close(released)
		hung.Wait()
		if err := ask("hangs1", 3); err != nil {
			t.Errorf("after all returned: %v", err)
		}
	})
}

// TestAHungFetchRefusesItsTenantsAlone lets the merge of two tenants' values never return.
// Questions about one of the two are then refused, and questions about others are answered,
// also about several.
func TestAHungFetchRefusesItsTenantsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scale{}
		p := s.past(t, 10*bytesOfValue, 256)
		released := hangingOnTen(p)
		ask := func(each int, tenants ...string) error {
			q := s.question(tenants[0], each, int64(time.Second), bytesOfBlob)
			for _, tenant := range tenants[1:] {
				q.Series = append(q.Series, Series{Tenant: tenant, Entries: q.Series[0].Entries})
			}
			q.once = true
			_, err := p.Answer(t.Context(), q)
			return err
		}
		var hung sync.WaitGroup
		hung.Go(func() {
			if err := ask(5, "x", "y"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := ask(3, "v", "w"); err != nil { // waits until the other fetch is stuck
			t.Error(err)
		}
		for _, c := range []struct{ tenants, stuck string }{{"v w", ""}, {"w", ""}, {"x", "x"}, {"y", "y"}, {"w y", "y"}, {"x v", "x"}} {
			err := ask(3, strings.Fields(c.tenants)...)
			stuck, is := errors.AsType[*StuckError](err)
			if is != (c.stuck != "") || is && stuck.Tenant != c.stuck || !is && err != nil {
				t.Errorf("tenants %s: %v", c.tenants, err)
			}
		}
		close(released)
		hung.Wait()
		if err := ask(3, "x", "y"); err != nil {
			t.Errorf("after all returned: %v", err)
		}
	})
}
