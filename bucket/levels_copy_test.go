package bucket_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// failing is a tier whose every 40th put fails, until it is mended.
type failing struct {
	*tiered.MemTier
	puts   int
	mended bool
}

func (f *failing) Put(ctx context.Context, key string, blob []byte) error {
	if f.puts++; (f.puts%40 == 0 || f.puts == 1) && !f.mended {
		return errors.New("the disk is full")
	}
	return f.MemTier.Put(ctx, key, blob)
}

// copyOf returns a store with the same entries, and a copier of the roll-ups.
func (l *retaining) copyOf(failed func(error)) (*retaining, *failing, *bucket.RollUpCopier) {
	l.Helper()
	to := &retaining{T: l.T, index: index.NewMemIndex(), blobs: new(tiered.MemTier), added: l.added}
	for e, err := range l.index.Scan(l.Context(), "a", 0, math.MaxInt64) {
		blobs, err2 := l.blobs.Get(l.Context(), []string{e.Key})
		if err = errors.Join(err, err2); err == nil {
			err = errors.Join(to.blobs.Put(l.Context(), e.Key, blobs[0]), to.index.Put(l.Context(), index.RowAt("a", e.Time), e))
		}
		if err != nil {
			l.Fatal(err)
		}
	}
	store, err := tiered.New(idCodec{}, to.blobs, &tiered.Options[ids]{Memory: -1})
	if err == nil {
		to.past, err = bucket.NewQuantizer(to.index, store, mergeIDs, &bucket.QuantizerOptions[ids]{CacheBytes: -1, Levels: &bucket.LevelOptions{Owned: true}})
	}
	if err != nil {
		l.Fatal(err)
	}
	disk := &failing{MemTier: to.blobs}
	c, err := bucket.NewRollUpCopier(bucket.RollUpStore{Index: l.index, Blobs: l.blobs}, bucket.RollUpStore{Index: to.index, Blobs: disk, Owned: true},
		&bucket.RollUpCopyOptions{Parallel: 1, Failed: func(_ string, _ time.Duration, _ time.Time, err error) { failed(err) }})
	if err != nil {
		l.Fatal(err)
	}
	return to, disk, c
}

// copyAll copies all roll-ups.
func (l *retaining) copyAll(c *bucket.RollUpCopier) bucket.RollUpsCopied {
	l.Helper()
	from, err := c.Prepare(l.Context())
	if err != nil || from.After(time.Now()) {
		l.Fatalf("prepare: begin at %v, %v", from, err)
	}
	done, err := c.Copy(l.Context(), "a", time.Unix(0, 0), time.Now())
	if err != nil {
		l.Fatalf("copy: %+v, %v", done, err)
	}
	return done
}

// TestCopiedRollUps copies a store at several ages, when retention has removed
// nothing, entries, minutes and hours. The copy answers as the source does, and its
// roll-ups can be verified.
func TestCopiedRollUps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		for _, age := range []struct {
			days  float64
			level time.Duration
		}{{2.6, time.Millisecond}, {5.5, time.Minute}, {8.5, time.Hour}, {12.5, day}} {
			time.Sleep(time.Until(begin.Add(time.Duration(age.days * float64(day)))))
			l.expire(time.Now().Add(-3 * day))
			failures := 0
			to, disk, c := l.copyOf(func(error) { failures++ })
			some := l.copyAll(c)
			disk.mended = true
			rest := l.copyAll(c)
			if failures == 0 || some.Failed != failures || rest.Failed+rest.Waiting+rest.Left > 0 || rest.Present != some.Copied || rest.Copied != failures {
				t.Errorf("age %v days: copied %+v with %d failures, and then %+v", age.days, some, failures, rest)
			}
			if again := l.copyAll(c); again.Copied > 0 || again.Present != rest.Present+rest.Copied {
				t.Errorf("age %v days: copied again %+v", age.days, again)
			}
			to.wantRetained(begin, age.level)
			if done := to.rollUp(); done.Verified < some.Copied+rest.Copied {
				t.Errorf("age %v days: verified %+v", age.days, done)
			}
			to.wantRetained(begin, age.level)
		}
	})
}

// TestCopiedRollUpsAreFinal adds to a copied span that has only its roll-up.
func TestCopiedRollUpsAreFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := rolled(t, day, retained())
		begin := time.Now().Truncate(day).Add(-day)
		l.rollUp()
		time.Sleep(4 * day)
		l.expire(time.Now().Add(-3 * day))
		to, disk, c := l.copyOf(func(err error) { t.Error(err) })
		disk.mended = true
		to.copyAll(c)
		at := begin.Add(time.Hour + time.Second)
		err := bucket.NewWriter(to.index).Put(t.Context(), index.RowAt("a", at.UnixNano()), index.Entry{Time: at.UnixNano(), Key: "k"})
		if _, final := errors.AsType[*bucket.FinalError](err); !final {
			t.Errorf("a value was put into a span whose roll-up alone was copied: error %v", err)
		}
		to.want(begin, begin.Add(day))
	})
}

// TestRollUpsOfOtherValuesAreNotCopied copies to a store with values of its own, in
// spans that can be built there and in spans that cannot.
func TestRollUpsOfOtherValuesAreNotCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		time.Sleep(time.Until(begin.Add(4 * day)))
		l.expire(begin.Add(day))
		var failed []error
		to, disk, c := l.copyOf(func(err error) { failed = append(failed, err) })
		disk.mended = true
		to.added = map[int]time.Time{}
		for v, at := range l.added {
			to.added[v] = at
		}
		own := []time.Time{begin.Add(5*time.Hour + time.Second), begin.Add(30*time.Hour + time.Second)}
		to.put(own[1])
		to.put(own[0])
		done := to.copyAll(c)
		if done.Left != 2 || done.Failed != 4 || len(failed) != 4 { // a minute, an hour and a day of each; both days are final
			t.Errorf("copied %+v, with the errors %v", done, failed)
		}
		to.want(begin.Add(6*time.Hour), begin.Add(day))
		time.Sleep(10 * time.Minute)
		if done := to.rollUp(); done.Built != 3 {
			t.Errorf("built %+v", done)
		}
		to.want(begin.Add(30*time.Hour), begin.Add(31*time.Hour))
		to.want(begin.Add(6*time.Hour), begin.Add(2*day))
	})
}

// TestACopyForgetsThePanicOfAnEarlierOne has Failed panic once. Copy returns the panic, and
// the next Copy, which succeeds, does not.
func TestACopyForgetsThePanicOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, begin := twoDays(t)
		time.Sleep(time.Until(begin.Add(3 * day)))
		_, disk, c := l.copyOf(func(error) { panic(errBroken) })
		if _, err := c.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Copy(t.Context(), "a", time.Unix(0, 0), time.Now())
		if _, panicked := errors.AsType[*bucket.PanicError](err); !panicked {
			t.Errorf("the first copy: %v", err)
		}
		disk.mended = true
		if done, err := c.Copy(t.Context(), "a", time.Unix(0, 0), time.Now()); err != nil || done.Failed > 0 {
			t.Errorf("the second copy: %+v, %v", done, err)
		}
	})
}
