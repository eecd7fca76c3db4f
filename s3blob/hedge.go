package s3blob

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	recent     = 256 // GETs that the percentile is of
	enough     = 64  // GETs before the first hedge
	remeasured = 16  // GETs between two computations of the percentile
	saved      = 10  // hedges that may be saved up
)

// hedges decides when a second GET is sent. It is safe for any number of
// goroutines.
type hedges struct {
	budget float64 // hedges per GET

	mu     sync.Mutex // guards what follows
	credit float64    // hedges that may be sent now
	times  [recent]time.Duration
	count  int           // GETs measured
	delay  time.Duration // the 95th percentile; 0 until enough are measured
}

// begin counts a GET and returns after which time it is worth a hedge; 0: not
// at all.
func (h *hedges) begin() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.credit = min(h.credit+h.budget, saved)
	return h.delay
}

// spend takes one hedge off the budget, if there is one.
func (h *hedges) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.credit < 1 {
		return false
	}
	h.credit--
	return true
}

// took measures a GET.
func (h *hedges) took(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times[h.count%recent] = d
	h.count++
	if h.count >= enough && h.count%remeasured == 0 {
		known := slices.Clone(h.times[:min(h.count, recent)])
		slices.Sort(known)
		h.delay = max(known[len(known)*95/100], 1)
	}
}

// answer is what a GET came to.
type answer struct {
	blob  []byte
	err   error
	hedge bool
}

// final tells whether the other GET has nothing to add.
func (a answer) final() bool { return a.err == nil || errors.Is(a.err, errAbsent) }

// fetchHedged is fetch with a hedge. What it measures is the time until the
// answer of either: a first GET that lost against its hedge would have taken
// longer, and the hedge's own time would make slow GETs look fast and hedges
// ever earlier.
func (t *Tier) fetchHedged(ctx context.Context, key string) ([]byte, error) {
	begin := t.opts.Now()
	var a answer
	if delay := t.hedges.begin(); delay == 0 {
		a.blob, a.err = t.fetch(ctx, key)
	} else {
		a = t.race(ctx, key, delay)
	}
	if a.err == nil {
		t.hedges.took(t.opts.Now().Sub(begin))
	}
	return a.blob, a.err
}

// race sends a GET and after delay perhaps another, and returns the better
// answer after it called off the other GET and waited for its end.
func (t *Tier) race(ctx context.Context, key string, delay time.Duration) answer {
	answers := make(chan answer, 2)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() {
		blob, err := t.fetch(ctx, key)
		answers <- answer{blob: blob, err: err}
	})
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a
	case <-timer.C:
	}
	if !t.mayHedge() {
		return <-answers
	}
	wg.Go(func() {
		defer t.places.Release(1)
		blob, err := t.fetch(ctx, key, once)
		answers <- answer{blob, err, true}
	})
	return t.better(answers)
}

// mayHedge takes a place and a hedge off the budget, or neither.
func (t *Tier) mayHedge() bool {
	if t.places.TryAcquire(1) {
		if t.hedges.spend() {
			return true
		}
		t.places.Release(1)
	}
	t.metrics.hedges.WithLabelValues(hedgeRefused).Inc()
	return false
}

// once makes a call one request, so that a hedge is what the budget says.
func once(o *s3.Options) { o.Retryer = aws.NopRetryer{} }

// better returns the first answer that is one, or else the error of the GET
// that was retried.
func (t *Tier) better(answers <-chan answer) answer {
	a := <-answers
	if !a.final() {
		if b := <-answers; b.final() || a.hedge {
			a = b
		}
	}
	result := hedgeLost
	if a.hedge {
		result = hedgeWon
	}
	t.metrics.hedges.WithLabelValues(result).Inc()
	return a
}
