package bucket_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// nested is text that tells how it was merged, by brackets.
type nested string

type nestedCodec struct{}

func (nestedCodec) Encode(v nested) ([]byte, error)    { return []byte(v), nil }
func (nestedCodec) Decode(blob []byte) (nested, error) { return nested(blob), nil }

func mergeNested(parts []nested) (nested, error) {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(string(p))
	}
	return nested("(" + b.String() + ")"), nil
}

func sameText(a, b nested) bool {
	plain := strings.NewReplacer("(", "", ")", "")
	return plain.Replace(string(a)) == plain.Replace(string(b))
}

// TestVerifyComparesByEqual verifies the roll-up of an hour that was built while another builder, which died, had claimed
// a minute of it.
func TestVerifyComparesByEqual(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		equal func(a, b nested) bool
		want  bucket.RollUpDone
		panic bool
	}{
		"given":    {equal: sameText, want: bucket.RollUpDone{Verified: 60, Built: 1}},
		"by bytes": {want: bucket.RollUpDone{Verified: 59, Differ: 1, Built: 2}},
		"panics":   {equal: func(_, _ nested) bool { panic("no") }, want: bucket.RollUpDone{Verified: 59, Failed: 1, Built: 1}, panic: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x := index.NewMemIndex()
				store, err := tiered.New(nestedCodec{}, new(tiered.MemTier), &tiered.Options[nested]{Memory: -1})
				if err != nil {
					t.Fatal(err)
				}
				past, err := bucket.NewQuantizer(x, store, mergeNested, &bucket.QuantizerOptions[nested]{CacheBytes: -1, Equal: c.equal,
					Levels: &bucket.LevelOptions{Owned: true}})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now().Truncate(time.Hour)
				for at := begin; at.Before(begin.Add(time.Hour)); at = at.Add(30 * time.Second) {
					row := index.RowAt("a", at.UnixNano())
					e := index.Entry{Time: at.UnixNano(), Key: row.FreshBlobKey(at.UnixNano(), "x")}
					if err := errors.Join(store.Put(t.Context(), e.Key, []byte("x")), bucket.NewWriter(x).Put(t.Context(), row, e)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(2 * time.Hour)
				rollUp := func(tenant string, verify bool) (bucket.RollUpDone, error) {
					done, err := past.RollUp(t.Context(), tenant, begin, time.Now(), &bucket.RollUpOptions{Verify: verify})
					done.At = time.Time{}
					return done, err
				}
				_, err = rollUp("nobody", false) // as if levels had been on for long
				_, claimed := levels.New(x, nil).Claim(t.Context(), levels.SpanAt("a", time.Minute, begin.UnixNano()), time.Minute)
				if err = errors.Join(err, claimed); err != nil {
					t.Fatal(err)
				}
				if done, err := rollUp("a", false); err != nil || done != (bucket.RollUpDone{Built: 60, Waiting: 1}) {
					t.Fatalf("built %+v, %v", done, err)
				}
				time.Sleep(time.Hour)
				done, err := rollUp("a", true)
				panicked, is := errors.AsType[*bucket.PanicError](err)
				if done != c.want || is != c.panic || is && panicked.Func != "equal" || !is && err != nil {
					t.Errorf("verified %+v, %v; want %+v", done, err, c.want)
				}
				if a, err := past.Range(t.Context(), "a", begin, begin.Add(time.Hour), nil); err != nil || !sameText(a.Value, nested(strings.Repeat("x", 120))) {
					t.Errorf("the hour is %v, %v", a.Value, err)
				}
			})
		})
	}
}
