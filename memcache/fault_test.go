package memcache_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// The tests in this file run in synctest bubbles, so that durations are exact.

// inBubble runs a test on a tier with one fake. The circuit opens after three failures, for two seconds.
func inBubble(t *testing.T, opts memcache.Options, test func(*testing.T, *memcache.Tier, *fake)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		opts.Failures, opts.Cooldown = 3, cooldown
		test(t, openFake(t, f, opts), f)
	})
}

const cooldown = 2 * time.Second

// wants is the expected result and duration of a Get.
type wants struct {
	err   error // nil: none
	after time.Duration
	found int
}

// get asks for keys that put stored.
func get(t *testing.T, ctx context.Context, tier *memcache.Tier, keys []string, want wants) {
	t.Helper()
	begin := time.Now()
	blobs, err := tiertest.Found(ctx, tier, keys)
	took := time.Since(begin)
	if !errors.Is(err, want.err) || took != want.after || len(blobs) != want.found {
		t.Fatalf("Get found %d blobs, %v, after %v; want %d, %v, after %v",
			len(blobs), err, took, want.found, want.err, want.after)
	}
	right(t, blobs)
}

func TestHungServerCostsATimeoutAndThenNothing(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		put(t, tier, "a")
		f.set(func(f *fake) { f.hang = true })
		late := wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond}
		for range 3 {
			get(t, t.Context(), tier, []string{"a"}, late)
		}
		before, _, _ := f.seen()
		for range 100 {
			get(t, t.Context(), tier, []string{"a"}, wants{err: memcache.ErrUnavailable})
		}
		if after, _, _ := f.seen(); len(after) != len(before) {
			t.Errorf("a server that is left alone got %d commands", len(after)-len(before))
		}
		time.Sleep(cooldown + 1)
		get(t, t.Context(), tier, []string{"a"}, late)
		get(t, t.Context(), tier, []string{"a"}, wants{err: memcache.ErrUnavailable})
		f.set(func(f *fake) { f.hang = false })
		time.Sleep(cooldown + 1)
		found(t, tier, "a")
		found(t, tier, "a")
	})
}

func TestDeadServerCostsNothing(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		put(t, tier, "a")
		f.set(func(f *fake) { f.down = true })
		for range 50 {
			begin := time.Now()
			if err := tier.Put(t.Context(), "a", nil); err == nil || time.Since(begin) != 0 {
				t.Fatalf("Put: %v after %v, want an error at once", err, time.Since(begin))
			}
		}
		if _, dials, _ := f.seen(); dials != 4 {
			t.Errorf("%d dials, want the first and three that failed", dials)
		}
		f.set(func(f *fake) { f.down = false })
		get(t, t.Context(), tier, []string{"a"}, wants{err: memcache.ErrUnavailable})
		time.Sleep(cooldown + 1)
		found(t, tier, "a")
	})
}

func TestOneRequestTriesAServerThatWasLeftAlone(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		f.set(func(f *fake) { f.hang = true })
		for range 3 {
			get(t, t.Context(), tier, []string{"a"}, wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond})
		}
		time.Sleep(cooldown + 1)
		before, _, _ := f.seen()
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() { _, _ = tiertest.Found(t.Context(), tier, []string{"a"}) })
		}
		readers.Wait()
		if after, _, _ := f.seen(); len(after)-len(before) != 1 {
			t.Errorf("%d commands reached the server, want 1", len(after)-len(before))
		}
	})
}

func TestSlowServerIsUsedWhileItIsInTime(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		f.set(func(f *fake) { f.delay = 90 * time.Millisecond })
		put(t, tier, "a")
		for range 10 {
			get(t, t.Context(), tier, []string{"a"}, wants{after: 90 * time.Millisecond, found: 1})
		}
		f.set(func(f *fake) { f.delay = 110 * time.Millisecond })
		get(t, t.Context(), tier, []string{"a"}, wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond})
	})
}

// TestDeadlineIsOfTheWholeAnswer sends each item in time, but the whole answer too late.
func TestDeadlineIsOfTheWholeAnswer(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		keys := numbered(20)
		put(t, tier, keys...)
		f.set(func(f *fake) { f.drip = 30 * time.Millisecond })
		get(t, t.Context(), tier, keys, wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond, found: 3})
	})
}

func TestAnswerThatEndsEarlyIsAnError(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		keys := numbered(20)
		put(t, tier, keys...)
		f.set(func(f *fake) { f.cut = 7 })
		get(t, t.Context(), tier, keys, wants{err: io.EOF, found: 7})
		f.set(func(f *fake) { f.cut = 0 })
		found(t, tier, keys...)
	})
}

// TestCallersWhoGiveUpSayNothingOfTheServer cancels more calls than there may be failures. The circuit stays
// closed.
func TestCallersWhoGiveUpSayNothingOfTheServer(t *testing.T) {
	giveUp := map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(90*time.Millisecond, cancel)
			return ctx, cancel
		},
		"short of time": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 40*time.Millisecond)
		},
	}
	outcomes := map[string]wants{
		"cancelled":     {err: context.Canceled, after: 90 * time.Millisecond},
		"short of time": {err: context.DeadlineExceeded, after: 40 * time.Millisecond},
	}
	for name, give := range giveUp {
		t.Run(name, func(t *testing.T) {
			inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
				put(t, tier, "a")
				f.set(func(f *fake) { f.hang = true })
				for range 10 {
					ctx, cancel := give(t.Context())
					get(t, ctx, tier, []string{"a"}, outcomes[name])
					cancel()
				}
				f.set(func(f *fake) { f.hang = false })
				found(t, tier, "a")
			})
		})
	}
}

// TestCallersWhoGiveUpLetOthersTry cancels the one request that probes the server. The next request may probe
// at once.
func TestCallersWhoGiveUpLetOthersTry(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		f.set(func(f *fake) { f.hang = true })
		for range 3 {
			get(t, t.Context(), tier, []string{"a"}, wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond})
		}
		time.Sleep(cooldown + 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		get(t, ctx, tier, []string{"a"}, wants{err: context.DeadlineExceeded, after: time.Millisecond})
		f.set(func(f *fake) { f.hang = false })
		put(t, tier, "a")
		found(t, tier, "a")
	})
}

// TestLostConnectionsAreFoundTogether moves a server: requests on the old connections get no answer, and
// there are more connections than there may be failures.
func TestLostConnectionsAreFoundTogether(t *testing.T) {
	inBubble(t, memcache.Options{BatchKeys: 1}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		keys := numbered(10)
		put(t, tier, keys...)
		f.set(func(f *fake) { f.delay = time.Millisecond })
		found(t, tier, keys...)
		f.set(func(f *fake) { f.delay, f.lost = 0, f.dials })
		get(t, t.Context(), tier, keys[:1], wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond})
		get(t, t.Context(), tier, keys, wants{found: 10})
		if _, dials, _ := f.seen(); dials < 11 {
			t.Errorf("%d dials: the keys did not go over ten connections", dials)
		}
	})
}

func TestEndedContextAsksNobody(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		get(t, ctx, tier, []string{"a"}, wants{err: context.Canceled})
		if err := tier.Put(ctx, "a", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Put: %v", err)
		}
		if commands, dials, _ := f.seen(); len(commands)+dials != 0 {
			t.Errorf("%d dials, commands %q", dials, commands)
		}
	})
}

func TestServerThatDeclinesIsWell(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		f.set(func(f *fake) { f.refusal = "SERVER_ERROR out of memory storing object" })
		for range 10 {
			err := tier.Put(t.Context(), "a", []byte("b"))
			if err == nil || !strings.Contains(err.Error(), "out of memory") || !strings.HasPrefix(err.Error(), "server "+address+": ") {
				t.Fatalf("Put: %v, want what the server said, and its name", err)
			}
			if _, err := tiertest.Found(t.Context(), tier, []string{"a"}); err == nil {
				t.Fatal("Get: no error")
			}
		}
		f.set(func(f *fake) { f.refusal = "" })
		put(t, tier, "a")
		found(t, tier, "a")
	})
}

func TestRequestsAreBoundedInSizeAndNumber(t *testing.T) {
	inBubble(t, memcache.Options{BatchKeys: 10, Parallel: 3}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		keys := numbered(95)
		put(t, tier, keys...)
		f.set(func(f *fake) { f.delay = 20 * time.Millisecond })
		puts, _, _ := f.seen()
		get(t, t.Context(), tier, keys, wants{after: 80 * time.Millisecond, found: 95})
		commands, _, mostBusy := f.seen()
		if mostBusy != 3 || len(commands)-len(puts) != 10 {
			t.Errorf("%d requests, %d at a time; want 10, 3", len(commands)-len(puts), mostBusy)
		}
		for _, command := range commands[len(puts):] {
			if n := len(strings.Fields(command)) - 1; n > 10 {
				t.Errorf("a request for %d keys", n)
			}
		}
	})
}

// TestWaitingForATurnIsBounded sends more requests than can be answered in time.
func TestWaitingForATurnIsBounded(t *testing.T) {
	inBubble(t, memcache.Options{BatchKeys: 1, Parallel: 1}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		keys := numbered(10)
		put(t, tier, keys...)
		f.set(func(f *fake) { f.delay = 30 * time.Millisecond })
		for range 5 {
			get(t, t.Context(), tier, keys, wants{err: context.DeadlineExceeded, after: 100 * time.Millisecond, found: 3})
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	opts := memcache.Options{Timeout: time.Hour}
	inBubble(t, opts, func(t *testing.T, tier *memcache.Tier, f *fake) {
		put(t, tier, "a")
		f.set(func(f *fake) { f.hang = true })
		errs := make(chan error, 20)
		for range 10 {
			go func() { errs <- tier.Put(t.Context(), "a", nil) }()
			go func() {
				_, err := tiertest.Found(t.Context(), tier, []string{"a"})
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		begin := time.Now()
		for range 2 {
			if err := tier.Close(); err != nil || time.Since(begin) != 0 {
				t.Fatalf("Close: %v after %v", err, time.Since(begin))
			}
		}
		f.set(func(f *fake) {
			if f.open != 0 {
				t.Errorf("%d connections are open after Close", f.open)
			}
		})
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, memcache.ErrClosed) {
				t.Errorf("a call that Close ended: %v", err)
			}
		}
		get(t, t.Context(), tier, []string{"a"}, wants{err: memcache.ErrClosed})
		if err := tier.Put(t.Context(), "a", nil); !errors.Is(err, memcache.ErrClosed) {
			t.Errorf("Put: %v", err)
		}
	})
}

func TestKeysThatMemcachedDoesNotAllowAreNeverSent(t *testing.T) {
	inBubble(t, memcache.Options{}, func(t *testing.T, tier *memcache.Tier, f *fake) {
		long := strings.Repeat("x", 250)
		bad := []string{"", " ", "a b", "a\r\nflush_all", "tab\t", "nul\x00", "del\x7f", long + "x"}
		for _, key := range bad {
			if err := tier.Put(t.Context(), key, []byte("blob")); err != nil {
				t.Errorf("Put(%q): %v", key, err)
			}
		}
		get(t, t.Context(), tier, bad, wants{})
		if commands, _, _ := f.seen(); len(commands) != 0 {
			t.Errorf("the server got %q", commands)
		}
		put(t, tier, long, "ü")
		get(t, t.Context(), tier, append(bad, long, "ü"), wants{found: 2})
	})
}
