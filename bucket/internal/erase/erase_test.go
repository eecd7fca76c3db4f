package erase_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/erase"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// noon is the start of an hour.
var noon = time.Unix(1_700_000_000, 0).Truncate(time.Hour)

// steps count the calls of all stores, and fail one of them.
type steps struct {
	calls   atomic.Int64
	fail    int64 // the call that fails; 0: none
	applied bool  // it takes effect all the same
}

func (s *steps) fault(faulttest.Call) (f faulttest.Fault) {
	if s.calls.Add(1) == s.fail {
		f = faulttest.Fault{Err: faulttest.ErrInjected, Applied: s.applied}
	}
	return f
}

// failed yields the error of a listing that is to fail.
func failed[V any](s *steps, then iter.Seq2[V, error]) iter.Seq2[V, error] {
	if err := s.fault(faulttest.Call{}).Err; err != nil {
		return func(yield func(V, error) bool) { yield(*new(V), err) }
	}
	return then
}

// scanning is an index that also scans.
type scanning struct {
	*faulttest.Levels
	*stores
}

func (x scanning) Scan(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return failed(&x.steps, x.index.Scan(ctx, tenant, from, to))
}

// listing is a tier whose List fails, too.
type listing struct {
	*faulttest.Tier
	*stores
}

func (l listing) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	return failed(&l.steps, l.blobs.List(ctx, prefix, from, to))
}

// stores are an index and a blob store, and the faults above them.
type stores struct {
	steps steps
	index *index.MemIndex
	blobs *tiered.MemTier
	rows  *faulttest.Levels
	tier  *faulttest.Tier
}

func newStores() *stores {
	s := &stores{index: index.NewMemIndex(), blobs: new(tiered.MemTier)}
	s.rows, s.tier = faulttest.NewLevels(s.index, 1), faulttest.NewTier(s.blobs, 1)
	s.rows.Decide(s.steps.fault)
	s.tier.Decide(s.steps.fault)
	return s
}

func (s *stores) eraser(t *testing.T, round int, wait time.Duration) *erase.Eraser {
	t.Helper()
	e, err := erase.New(scanning{s.rows, s}, listing{s.tier, s}, erase.Options{Wait: wait, Round: round, Now: func() time.Time { return noon.Add(4 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// blob puts a blob without an entry, and returns the entry that it may get.
func (s *stores) blob(t *testing.T, tenant string, at int64) (index.Row, index.Entry) {
	t.Helper()
	row := index.RowAt(tenant, at)
	e := index.Entry{Time: at, Key: row.BlobKey(at)}
	if err := s.blobs.Put(t.Context(), e.Key, []byte("blob")); err != nil {
		t.Fatal(err)
	}
	return row, e
}

// value puts a blob and its entry.
func (s *stores) value(t *testing.T, tenant string, at int64) {
	t.Helper()
	row, e := s.blob(t, tenant, at)
	if err := s.index.Put(t.Context(), row, e); err != nil {
		t.Fatal(err)
	}
}

// fill puts values of two tenants into four hours from noon on, five an hour, and
// an orphan of the first tenant at the end of each hour. It returns how many
// values a tenant has.
func (s *stores) fill(t *testing.T) (values int) {
	t.Helper()
	for h := range 4 {
		hour := noon.Add(time.Duration(h) * time.Hour)
		for i := range 5 {
			at := hour.Add(time.Duration(i) * time.Minute).UnixNano()
			s.value(t, "a", at)
			s.value(t, "b", at)
			values++
		}
		s.blob(t, "a", hour.Add(59*time.Minute).UnixNano())
	}
	return values
}

// held returns the instants of a tenant's entries, and its blobs' keys.
func (s *stores) held(t *testing.T, tenant string) (entries []index.Entry, keys []string) {
	t.Helper()
	from, to := noon.Add(-time.Hour).UnixNano(), noon.Add(10*time.Hour).UnixNano()
	for e, err := range s.index.Scan(t.Context(), tenant, from, to) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	for row := range index.Rows(tenant, from, to) {
		for key, err := range s.blobs.List(t.Context(), row.BlobKeyPrefix(), from, to) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
	}
	return entries, keys
}

// want fails unless a tenant has so many entries and blobs, and each entry its blob.
func (s *stores) want(t *testing.T, tenant string, entries, blobs int) {
	t.Helper()
	found, keys := s.held(t, tenant)
	if len(found) != entries || len(keys) != blobs {
		t.Errorf("tenant %q has %d entries and %d blobs; want %d and %d", tenant, len(found), len(keys), entries, blobs)
	}
	for _, e := range found {
		if !slices.Contains(keys, e.Key) {
			t.Errorf("the entry %+v has no blob", e)
		}
	}
}

// ranges are a short range, which is read by row, and a long one, which is
// scanned. Both hold all that fill puts.
var ranges = map[string]struct{ from, to int64 }{
	"short": {noon.UnixNano(), noon.Add(4 * time.Hour).UnixNano()},
	"long":  {noon.Add(-5 * 365 * 24 * time.Hour).UnixNano(), noon.Add(4 * time.Hour).UnixNano()},
}

func TestDelete(t *testing.T) {
	t.Parallel()
	for name, r := range ranges {
		for _, round := range []int{1, 3, 1000} {
			t.Run(fmt.Sprint(name, round), func(t *testing.T) {
				t.Parallel()
				s := newStores()
				values := s.fill(t)
				e := s.eraser(t, round, -1)
				found, err := e.Find(t.Context(), "a", r.from, r.to)
				if err != nil || found.Entries != values || !found.First.Equal(noon) {
					t.Errorf("found %+v, %v", found, err)
				}
				done, err := e.Delete(t.Context(), "a", r.from, r.to, nil)
				if want := (erase.Done{Entries: values, Blobs: values + 4, Orphans: 4}); err != nil || done != want {
					t.Errorf("deleted %+v, %v; want %+v", done, err, want)
				}
				s.want(t, "a", 0, 0)
				s.want(t, "b", values, values)
			})
		}
	}
}

// TestDeletesOnlyTheRange begins and ends in the middle of hours.
func TestDeletesOnlyTheRange(t *testing.T) {
	t.Parallel()
	s := newStores()
	s.fill(t)
	from, to := noon.Add(2*time.Minute).UnixNano(), noon.Add(time.Hour+time.Minute).UnixNano()
	done, err := s.eraser(t, 2, -1).Delete(t.Context(), "a", from, to, nil)
	if want := (erase.Done{Entries: 4, Blobs: 5, Orphans: 1}); err != nil || done != want {
		t.Errorf("deleted %+v, %v; want %+v", done, err, want)
	}
	s.want(t, "a", 16, 19)
}

// TestInterruptedAtEveryStep fails the n-th call of any store, for each n, with
// and without its effect. No entry ever lacks its blob, and the same deletion
// then deletes the rest.
func TestInterruptedAtEveryStep(t *testing.T) {
	t.Parallel()
	for name := range ranges {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " applied ", applied), func(t *testing.T) {
				t.Parallel()
				n := int64(1)
				for interrupted(t, name, n, applied) {
					n++
				}
				if n < 15 {
					t.Errorf("there were only %d steps", n)
				}
			})
		}
	}
}

// interrupted reports whether a deletion had an n-th step to fail.
func interrupted(t *testing.T, name string, n int64, applied bool) bool {
	t.Helper()
	s, r := newStores(), ranges[name]
	values := s.fill(t)
	s.steps.fail, s.steps.applied = n, applied
	done, err := s.eraser(t, 3, -1).Delete(t.Context(), "a", r.from, r.to, nil)
	if s.steps.calls.Load() < n {
		s.want(t, "a", 0, 0)
		return false
	}
	if !errors.Is(err, faulttest.ErrInjected) {
		t.Errorf("step %d: deleted %+v, error %v", n, done, err)
	}
	entries, keys := s.held(t, "a")
	s.want(t, "a", len(entries), len(keys))
	s.wantNamed(t, err, entries, keys, applied)
	if _, err := s.eraser(t, 3, -1).Delete(t.Context(), "a", r.from, r.to, nil); err != nil {
		t.Errorf("step %d, again: %v", n, err)
	}
	s.want(t, "a", 0, 0)
	s.want(t, "b", values, values)
	return true
}

// wantNamed checks that an error names the blobs that are left and lost their
// entries, and no blob that has one. The entries of a removal that took effect
// and failed are not known.
func (s *stores) wantNamed(t *testing.T, err error, entries []index.Entry, keys []string, applied bool) {
	t.Helper()
	var named []string
	if left, ok := errors.AsType[*erase.LeftError](err); ok {
		named = left.Keys
	}
	for _, key := range keys {
		has := slices.ContainsFunc(entries, func(e index.Entry) bool { return e.Key == key })
		at, _ := index.ParseBlobKey(key)
		orphan := time.Unix(0, at).Minute() == noon.Minute()+59
		if has && slices.Contains(named, key) || !has && !orphan && !applied && !slices.Contains(named, key) {
			t.Errorf("%s, has an entry: %t; the error names %v", key, has, named)
		}
	}
}

// TestAValueOnItsWayKeepsItsBlob puts an orphan's entry while a deletion waits.
func TestAValueOnItsWayKeepsItsBlob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores()
		s.value(t, "a", noon.UnixNano())
		row, late := s.blob(t, "a", noon.Add(time.Minute).UnixNano())
		s.blob(t, "a", noon.Add(2*time.Minute).UnixNano())
		deleted := make(chan erase.Done)
		go func() {
			done, err := s.eraser(t, 10, time.Minute).Delete(t.Context(), "a", noon.UnixNano(), noon.Add(time.Hour).UnixNano(), nil)
			if err != nil {
				t.Error(err)
			}
			deleted <- done
		}()
		time.Sleep(time.Minute - 1)
		s.want(t, "a", 0, 3) // a question that has read the entries still finds the blobs
		if err := s.index.Put(t.Context(), row, late); err != nil {
			t.Error(err)
		}
		if done, want := <-deleted, (erase.Done{Entries: 1, Blobs: 2, Orphans: 1}); done != want {
			t.Errorf("deleted %+v, want %+v", done, want)
		}
		s.want(t, "a", 1, 1)
	})
}

// TestALatePutOfADeletedValue puts a deleted entry once more while the deletion waits, as a request does that arrives after
// its sender gave it up. The entry goes again.
func TestALatePutOfADeletedValue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores()
		row, late := s.blob(t, "a", noon.UnixNano())
		s.value(t, "a", noon.Add(time.Minute).UnixNano())
		time.AfterFunc(30*time.Second, func() {
			if err := s.index.Put(t.Context(), row, late); err != nil {
				t.Error(err)
			}
		})
		withdrawn := func(context.Context) ([]index.Entry, error) { return []index.Entry{late}, nil }
		if _, err := s.eraser(t, 10, time.Minute).Delete(t.Context(), "a", noon.UnixNano(), noon.Add(time.Hour).UnixNano(), withdrawn); err != nil {
			t.Error(err)
		}
		s.want(t, "a", 0, 0)
	})
}

// TestCancelledWhileItWaits names the blobs that are left.
func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStores()
		s.value(t, "a", noon.UnixNano())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		from, to := noon.UnixNano(), noon.Add(time.Hour).UnixNano()
		done, err := s.eraser(t, 10, time.Minute).Delete(ctx, "a", from, to, nil)
		left, ok := errors.AsType[*erase.LeftError](err)
		if !ok || !errors.Is(err, context.DeadlineExceeded) || left.Tenant != "a" || len(left.Keys) != 1 || done.Entries != 1 {
			t.Fatalf("deleted %+v, error %v", done, err)
		}
		if _, err := s.eraser(t, 10, -1).Delete(t.Context(), "a", from, to, nil); err != nil {
			t.Error(err)
		}
		s.want(t, "a", 0, 0)
	})
}

// TestEntriesBesideTheRange removes entries that the caller names, wherever they
// are, and does not count them.
func TestEntriesBesideTheRange(t *testing.T) {
	t.Parallel()
	s := newStores()
	s.fill(t)
	at := noon.Add(3 * time.Hour).UnixNano()
	more := func(context.Context) ([]index.Entry, error) {
		return []index.Entry{{Time: at, Key: index.RowAt("a", at).BlobKey(at)}, {Time: at + 1, Key: "no entry"}}, nil
	}
	done, err := s.eraser(t, 10, -1).Delete(t.Context(), "a", noon.UnixNano(), noon.Add(time.Minute).UnixNano(), more)
	if err != nil || done.Entries != 1 {
		t.Errorf("deleted %+v, %v", done, err)
	}
	s.want(t, "a", 18, 22)
}

// TestStoresThatCannotDelete are refused.
func TestStoresThatCannotDelete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		index index.Index
		blobs any
	}{
		"index": {faulttest.NewIndex(index.NewMemIndex(), 1), new(tiered.MemTier)},
		"blobs": {index.NewMemIndex(), struct{}{}},
	} {
		_, err := erase.New(c.index, c.blobs, erase.Options{})
		if _, ok := errors.AsType[*erase.UnsupportedError](err); !ok || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
