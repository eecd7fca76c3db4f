package rollup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// want fails unless a tenant has so many sealed spans of each level.
func (h *hall) want(tenant string, minutes, hours, days int) {
	h.Helper()
	got := [3]int{}
	for i, level := range settings().Spans {
		got[i] = len(h.sealed(tenant, level))
	}
	if want := [3]int{minutes, hours, days}; got != want {
		h.Errorf("tenant %q has %v sealed minutes, hours and days; want %v", tenant, got, want)
	}
}

// midnight returns the start of the day in a bubble, which is one of UTC.
func midnight() time.Time { return time.Now().Truncate(24 * time.Hour) }

// TestBuildsForTenantsThatAreAskedAbout goes on for two days. Minutes are built
// for the last two hours when a tenant is asked about first, and from then on.
func TestBuildsForTenantsThatAreAskedAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, b := newHall(t), (*Builder)(nil)
		b = h.builder(nil)
		h.fill("a", midnight(), midnight().Add(30*time.Hour), 20*time.Second)
		h.fill("b", midnight(), midnight().Add(30*time.Hour), 20*time.Second)
		time.Sleep(3*time.Hour + 10*time.Minute)
		b.Asked("a")
		h.run(b, 10*time.Second)
		h.want("a", 120, 3, 0)
		h.want("b", 0, 0, 0)
		h.run(b, time.Hour)
		h.want("a", 180, 4, 0)
		h.run(b, 22*time.Hour+50*time.Minute)
		h.want("a", 1550, 26, 1)
		b.Asked("b")
		h.run(b, 2*time.Hour)
		if hours := len(h.sealed("a", time.Hour)); hours > 28 {
			t.Errorf("%d hours are built, long after anybody asked", hours)
		}
		h.want("b", 4*60, 28, 1)
	})
}

// TestBuildersShareTheWork runs three builders at a time, each a process of its
// own. No span is stored twice.
func TestBuildersShareTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.fill("a", midnight(), midnight().Add(3*time.Hour), 15*time.Second)
		time.Sleep(2 * time.Hour)
		var builders []*Builder
		var running sync.WaitGroup
		for range 3 {
			b := h.builder(func(o *Options) { o.All = true })
			b.Asked("a")
			builders = append(builders, b)
			running.Go(func() { h.run(b, 90*time.Minute) })
		}
		running.Wait()
		h.want("a", 180, 3, 0)
		if n := h.shelf.most(); n != 1 {
			t.Errorf("a roll-up was stored %d times", n)
		}
		var built int64
		for _, b := range builders {
			for _, s := range b.Stats() {
				built += s.Built
			}
		}
		if built != 183 {
			t.Errorf("the builders say that they built %d spans, want 183", built)
		}
	})
}

// TestABuilderThatIsLetGo is cancelled in the middle of a merge. It gives its
// claim back, and the next builder goes on at once.
func TestABuilderThatIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.fill("a", midnight(), midnight().Add(time.Minute), 15*time.Second)
		time.Sleep(20 * time.Minute)
		h.shelf.set(func(s *shelf) { s.hang = true })
		first := h.builder(nil)
		first.Asked("a")
		h.run(first, 3*time.Second)
		h.want("a", 0, 0, 0)
		h.shelf.set(func(s *shelf) { s.hang = false })
		second := h.builder(nil)
		second.Asked("a")
		h.run(second, 3*time.Second)
		h.want("a", 1, 0, 0)
	})
}

// TestABuilderThatCrashed leaves a claim. The span is built once that expires.
func TestABuilderThatCrashed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.fill("a", midnight(), midnight().Add(time.Minute), 15*time.Second)
		time.Sleep(20 * time.Minute)
		b := h.builder(nil)
		b.Asked("a")
		if err := b.publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		span := levels.SpanAt("a", time.Minute, midnight().UnixNano())
		claim, err := levels.New(h.index, nil).Claim(t.Context(), span, 4*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.shelf.Put(t.Context(), levels.Key(span, claim.ID()), []byte("of the builder that crashed")); err != nil {
			t.Fatal(err)
		}
		h.run(b, 3*time.Minute)
		h.want("a", 0, 0, 0)
		h.run(b, 90*time.Second)
		h.want("a", 1, 0, 0)
		h.run(b, maxQuestion+time.Minute)
		if n := h.shelf.count(); n != 1 {
			t.Errorf("%d roll-ups are stored, want that of the seal alone", n)
		}
	})
}

// TestALateValueRebuildsOneSpanOfEachLevel puts values into the past. Each level
// is built again once, and the old roll-ups go.
func TestALateValueRebuildsOneSpanOfEachLevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		start := midnight()
		h.fill("a", start, start.Add(26*time.Hour), 20*time.Second)
		time.Sleep(25 * time.Hour)
		b := h.builder(func(o *Options) { o.All = true })
		b.Asked("a")
		h.run(b, time.Minute)
		h.shelf.set(func(s *shelf) { clear(s.puts) })
		for i := range 20 {
			at := start.Add(23*time.Hour + 30*time.Minute + time.Duration(i)*time.Second)
			if err := h.late(b, "a", at.Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(h.sealed("a", 24*time.Hour)); n != 0 {
			t.Errorf("%d days are sealed beside a late value", n)
		}
		h.run(b, 4*time.Minute)
		day := h.sealed("a", 24*time.Hour)
		if len(day) != 1 || day[0].Entries != 24*180+20 || h.shelf.most() != 1 {
			t.Errorf("sealed days %+v, the most often stored roll-up was stored %d times", day, h.shelf.most())
		}
		h.run(b, 10*time.Minute+30*time.Second) // ends between two looks
		seals := len(h.sealed("a", time.Minute)) + len(h.sealed("a", time.Hour)) + len(h.sealed("a", 24*time.Hour))
		if n := h.shelf.count(); n != seals {
			t.Errorf("%d roll-ups are stored for %d seals: replaced ones stay", n, seals)
		}
	})
}

// TestRollUpsThatDoNotPay are not kept, and their spans not tried again.
func TestRollUpsThatDoNotPay(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*shelf, *Options){
		"too large":         func(_ *shelf, o *Options) { o.MaxBlob = 50 },
		"hardly smaller":    func(s *shelf, _ *Options) { s.padding, s.parts = 20<<10, 21<<10 },
		"refused for good":  func(s *shelf, _ *Options) { s.err = errLasting },
		"missing for good":  func(s *shelf, _ *Options) { s.err = fmt.Errorf("wrapped: %w", errLasting) },
		"larger than parts": func(s *shelf, _ *Options) { s.padding, s.parts = 20<<10, 10 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHall(t)
				h.fill("a", midnight(), midnight().Add(time.Minute), 5*time.Second)
				time.Sleep(20 * time.Minute)
				b := h.builder(func(o *Options) { change(h.shelf, o) })
				b.Asked("a")
				h.run(b, 40*time.Minute)
				if st := b.Stats()[0]; st.Void != 1 || st.Built != 0 || st.Waiting != 0 || h.shelf.merges != 1 {
					t.Errorf("figures %+v after %d merges; want one void", st, h.shelf.merges)
				}
				place, err := b.opts.Protocol.Place(t.Context(), levels.SpanAt("a", time.Minute, midnight().UnixNano()))
				if err != nil || place.Kind != levels.Void || place.Why == "" {
					t.Errorf("place %+v, %v", place, err)
				}
			})
		})
	}
}

// TestAForeignWriterIsFound puts an entry past the protocol into a minute that is
// sealed. The next level notices, and both are right again.
func TestAForeignWriterIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.fill("a", midnight(), midnight().Add(time.Hour), 20*time.Second)
		time.Sleep(30 * time.Minute)
		b := h.builder(func(o *Options) { o.All = true })
		b.Asked("a")
		h.run(b, time.Second)
		h.want("a", 20, 0, 0)
		h.put(index.Holding(t.Context()), "a", midnight().Add(time.Second))
		h.run(b, 41*time.Minute)
		if n := testutil.ToFloat64(b.opts.Metrics.broken.WithLabelValues("1m")); n != 1 {
			t.Errorf("%v seals are counted as broken, want 1", n)
		}
		hours := h.sealed("a", time.Hour)
		if len(hours) != 1 || hours[0].Entries != 181 {
			t.Errorf("sealed hours %+v; want one of 181 entries", hours)
		}
	})
}

// TestAFailureIsTriedAgain doubles the pause after each failure.
func TestAFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.fill("a", midnight(), midnight().Add(time.Minute), 5*time.Second)
		time.Sleep(20 * time.Minute)
		h.shelf.set(func(s *shelf) { s.err = errors.New("the store is away") })
		b := h.builder(nil)
		b.Asked("a")
		h.run(b, 10*time.Minute)
		st := b.Stats()[0]
		if st.Failed != 5 { // at 0, 30, 90, 210 and 450 s
			t.Errorf("%d attempts in 10 minutes, want 5", st.Failed)
		}
		h.shelf.set(func(s *shelf) { s.err = nil })
		h.run(b, 10*time.Minute)
		h.want("a", 1, 0, 0)
	})
}

// TestASpanThatAQuestionMergedIsBuilt offers old spans, one of a day that has not
// ended.
func TestASpanThatAQuestionMergedIsBuilt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		start := midnight()
		h.fill("a", start, start.Add(time.Hour), 20*time.Second)
		time.Sleep(10 * 24 * time.Hour)
		b := h.builder(nil)
		b.Offer(levels.SpanAt("a", time.Hour, start.UnixNano()))
		b.Offer(levels.SpanAt("a", time.Hour, start.Add(time.Hour).UnixNano()))
		b.Offer(levels.SpanAt("a", 24*time.Hour, time.Now().UnixNano()))
		h.run(b, time.Minute)
		h.want("a", 0, 1, 0)
		if st := b.Stats(); st[1].Waiting != 0 || st[2].Waiting != 0 {
			t.Errorf("figures %+v; want none waiting", st)
		}
	})
}

// TestOtherSettingsAreRefused runs a builder whose levels are not the index's.
func TestOtherSettingsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t)
		h.run(h.builder(nil), time.Second)
		other := h.builder(func(o *Options) { o.Settings.Lateness = time.Hour })
		err := other.Run(t.Context())
		if found, ok := errors.AsType[*levels.OtherError](err); !ok || found.Lateness != settings().Lateness {
			t.Errorf("error %v, want a *levels.OtherError with the index's lateness", err)
		}
	})
}

// TestRollUp builds in the foreground, is interrupted, goes on, and verifies.
func TestRollUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, start := newHall(t), midnight()
		h.fill("a", start, start.Add(49*time.Hour), time.Minute/2)
		time.Sleep(50 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		b := h.builder(nil)
		_, err := b.RollUp(ctx, "a", start.UnixNano(), time.Now().UnixNano(), Task{Progress: func(d Done) {
			if d.Built == 100 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v of a build that was interrupted", err)
		}
		done, err := b.RollUp(t.Context(), "a", start.UnixNano(), time.Now().UnixNano(), Task{})
		// builds that were under way when the first call was interrupted may have ended well
		if err != nil || done.Built+110 < 49*60+49+2 || done.Failed+done.Waiting+done.Void > 0 {
			t.Errorf("built %+v, %v", done, err)
		}
		h.want("a", 49*60, 49, 2)
		hour := h.sealed("a", time.Hour)[5]
		h.shelf.set(func(s *shelf) { s.blobs[hour.Key] = []byte("another,blob") })
		done, err = b.RollUp(t.Context(), "a", start.UnixNano(), time.Now().UnixNano(), Task{Verify: true})
		if err != nil || done.Differ != 1 || done.Built != 1 || done.Verified != 49*60+49+2-1 {
			t.Errorf("verified %+v, %v; want one that differs and is built again", done, err)
		}
		h.want("a", 49*60, 49, 2)
	})
}

// TestVerifyKnowsHowARollUpWasMerged builds an hour while another builder, which died, claims a minute of it. The hour is
// merged from roll-ups and entries, and its bytes tell so. Neither the merge of its minutes nor that of its entries has
// these bytes.
func TestVerifyKnowsHowARollUpWasMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, start := newHall(t), midnight()
		h.shelf.shaped = true
		h.fill("a", start, start.Add(time.Hour), time.Minute/2)
		time.Sleep(2 * time.Hour)
		b := h.builder(nil)
		rollUp := func(tenant string, want Done) {
			t.Helper()
			done, err := b.RollUp(t.Context(), tenant, start.UnixNano(), time.Now().UnixNano(), Task{Verify: true})
			if done.At = want.At; err != nil || done != want {
				t.Errorf("did %+v, %v; want %+v", done, err, want)
			}
		}
		rollUp("nobody", Done{})
		if _, err := levels.New(h.index, nil).Claim(t.Context(), levels.SpanAt("a", time.Minute, start.UnixNano()), time.Minute); err != nil {
			t.Fatal(err)
		}
		rollUp("a", Done{Built: 60, Waiting: 1})
		time.Sleep(time.Hour)
		rollUp("a", Done{Built: 1, Verified: 60})
		rollUp("a", Done{Verified: 61})
	})
}

// TestTenantsOfASharedIndexAreListedOnceADay counts the listings of a builder for all
// tenants, since listing a table reads all of it. A listing that fails is repeated sooner.
func TestTenantsOfASharedIndexAreListedOnceADay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owned, fails bool
		want         int
	}{
		"owned":  {owned: true, want: 50},
		"shared": {want: 3},
		"fails":  {fails: true, want: 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h, lists := newHall(t), 0
				h.fill("a", midnight().Add(47*time.Hour), midnight().Add(48*time.Hour), 20*time.Second)
				b := h.builder(func(o *Options) {
					o.All, o.Owned = true, c.owned
					o.Tenants = func(context.Context) iter.Seq2[string, error] {
						lists++
						return func(yield func(string, error) bool) {
							if c.fails {
								yield("", errors.New("throttled"))
								return
							}
							yield("a", nil)
						}
					}
				})
				h.run(b, 49*time.Hour+20*time.Minute)
				if lists != c.want {
					t.Errorf("listed %d times in 49 hours, want %d", lists, c.want)
				}
				if n := len(h.sealed("a", time.Minute)); n != 60 && !c.fails {
					t.Errorf("%d minutes of the last hours are sealed, want 60", n)
				}
			})
		})
	}
}

// TestABuildThatNeverReturns lets the merges of one tenant hang. The spans of another one
// are built all the same, Run ends, and so does RollUp.
func TestABuildThatNeverReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, released := newHall(t), make(chan struct{})
		h.shelf.set(func(s *shelf) { s.stuck, s.released = "bad", released })
		b := h.builder(nil)
		for _, tenant := range []string{"bad", "good"} {
			h.fill(tenant, midnight(), midnight().Add(30*time.Hour), 20*time.Second)
			b.Asked(tenant)
		}
		time.Sleep(3*time.Hour + 10*time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- b.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		if n := len(h.sealed("good", time.Minute)); n < 200 {
			t.Errorf("%d minutes of the good tenant are built", n)
		}
		if n := h.shelf.hung(); n > 2 {
			t.Errorf("%d builds of the bad tenant were begun", n)
		}
		begun := time.Now()
		cancel()
		if err := <-ran; err != nil || time.Since(begun) > 10*time.Second {
			t.Errorf("Run ended after %v with %v", time.Since(begun), err)
		}
		begun = time.Now()
		_, err := b.RollUp(t.Context(), "bad", midnight().UnixNano(), midnight().Add(time.Minute).UnixNano(), Task{})
		if !errors.Is(err, errHangs) || time.Since(begun) > 10*time.Minute {
			t.Errorf("RollUp ended after %v with %v", time.Since(begun), err)
		}
		close(released)
		synctest.Wait()
	})
}
