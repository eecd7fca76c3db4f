package local

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// damage is the damaged blocks that an engine has met.
//
// Pebble repeats a compaction that meets one at once and for ever. So each block that
// compactions meet after the first few costs them a second. They hold no lock then.
type damage struct {
	met atomic.Int64 // by compactions

	mu   sync.Mutex
	free float64              // how many may be met now without a wait; guarded by mu
	last time.Time            // when one was met last; guarded by mu
	told map[string]time.Time // texts that were logged, and when; guarded by mu

	some   atomic.Bool       // unread has, or had, blobs
	unread map[string]unread // by key: blobs whose reads met one; guarded by mu
}

// unread is a read that met a damaged block.
type unread struct {
	err   error
	since time.Time
}

const (
	freeDamage  = 20          // how many blocks compactions may meet at once
	damagePause = time.Second // how long each further one costs
	toldAgain   = time.Minute // how long the same text is not logged again
	maxTold     = 1000        // texts that are remembered
	unreadAgain = time.Minute // how long a blob that could not be read is not read again
	maxUnread   = 1000        // blobs that are remembered
)

// meet waits if a compaction calls it and has met many damaged blocks lately.
func (d *damage) meet() {
	if !compacting() {
		return
	}
	d.met.Add(1)
	if !d.mayPass(time.Now()) {
		time.Sleep(damagePause)
	}
}

// compacting reports whether one of Pebble's compactions calls it. Pebble does not say
// so to whom it tells of damage, and a reader must not wait.
func compacting() bool {
	var stack [64]uintptr
	frames := runtime.CallersFrames(stack[:runtime.Callers(2, stack[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "pebble/v2.(*DB).compact") {
			return true
		}
		if !more {
			return false
		}
	}
}

func (d *damage) mayPass(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.IsZero() {
		d.free = freeDamage
	}
	d.free = min(d.free+now.Sub(d.last).Seconds()/damagePause.Seconds(), freeDamage)
	d.last = now
	if d.free < 1 {
		return false
	}
	d.free--
	return true
}

// isNews reports whether a text was not logged within the last minute.
func (d *damage) isNews(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if last, again := d.told[text]; again && now.Sub(last) < toldAgain {
		return false
	}
	if d.told == nil || len(d.told) >= maxTold {
		d.told = make(map[string]time.Time)
	}
	d.told[text] = now
	return true
}

// unreadable returns the error of a read of a blob that has met damage within the last minute.
// Pebble looks for the bit that was flipped, each time that it reads a damaged block. That takes
// 2 s of a processor for a blob of 64 kB, and 20 s for one of 600 kB.
func (d *damage) unreadable(key []byte) error {
	if !d.some.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.unread[string(key)]; time.Since(u.since) < unreadAgain {
		return u.err
	}
	return nil
}

// noteRead remembers the error of a read of a blob, if it tells of damage.
func (d *damage) noteRead(key []byte, err error) {
	if err == nil || !pebble.IsCorruptionError(err) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.unread == nil || len(d.unread) >= maxUnread {
		d.unread = make(map[string]unread)
	}
	d.unread[string(key)] = unread{err, time.Now()}
	d.some.Store(true)
}
