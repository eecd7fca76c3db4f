package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/internal/pause"
)

// probe posts for one tenant. While it runs, only its goroutine uses its fields.
type probe struct {
	tenant string
	bodies [][]body // by node
	sent   int      // posts
	doubt  []int    // the posts that were not answered with 200
}

// body returns the body of one of the tenant's posts. The nodes post in turn.
func (p *probe) body(post int) body {
	own := p.bodies[post%len(p.bodies)]
	return own[post/len(p.bodies)%len(own)]
}

// id returns the id of one of the tenant's posts.
func (p *probe) id(post int) string { return p.tenant + ";" + strconv.Itoa(post) }

// siege is tenants that post and users that ask at the same time.
type siege struct {
	opts    *options
	client  *client
	begun   time.Time
	probes  []*probe
	posts   latencies
	live    latencies // questions about now
	past    latencies // questions about earlier windows
	skipped atomic.Int64
}

// maxQuestions limits the questions under way. Further questions are counted as skipped.
const maxQuestions = 256

// drive runs probes and questions until the time is over and all requests are answered.
func (s *siege) drive(ctx context.Context, w *watcher, stderr io.Writer) {
	until, cancel := context.WithTimeout(ctx, s.opts.duration)
	defer cancel()
	var g sync.WaitGroup
	for i, p := range s.probes {
		g.Go(func() { s.run(ctx, until, p, s.begun.Add(s.opts.every*time.Duration(i)/time.Duration(len(s.probes)))) })
	}
	if s.opts.questions > 0 {
		g.Go(func() { s.ask(ctx, until) })
	}
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	w.watch(ctx, s.opts, done, func(now Sample) { s.say(stderr, now) })
	<-done
}

func (s *siege) say(stderr io.Writer, now Sample) {
	posts, live, past := s.posts.sum(), s.live.sum(), s.past.sum()
	failed := posts.failures() + live.failures() + past.failures()
	now.write(stderr, time.Since(s.begun), fmt.Sprintf("%d posts, p99 %s; %d questions, p99 %s; %d failed;", posts.Count,
		short(posts.P99), live.Count+past.Count, short(max(live.P99, past.P99)), failed))
}

// run posts the reports of a tenant's nodes from a start time until the time is over. A report that is due while the
// previous post is under way waits for it, and its latency counts from the time when it was due. It is
// skipped when the next one is due as well.
func (s *siege) run(ctx, until context.Context, p *probe, due time.Time) {
	every := s.opts.every / time.Duration(s.opts.nodes)
	for ; sleepUntil(until, due); due = due.Add(every) {
		for late := time.Since(due); late >= every; late -= every {
			due = due.Add(every)
			s.skipped.Add(1)
		}
		post := p.sent
		p.sent++
		head, rest, err := p.body(post).post(p.id(post))
		if err == nil {
			err = s.client.post(ctx, p.tenant, head, rest)
		}
		s.posts.add(time.Since(due), err)
		if err != nil {
			p.doubt = append(p.doubt, post)
		}
	}
}

// sleepUntil waits for an instant. It returns false when ctx ends first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	return pause.For(ctx, time.Until(at)) == nil && ctx.Err() == nil
}

// ask asks evenly spread questions until the time is over, and waits for the answers.
func (s *siege) ask(ctx, until context.Context) {
	var g sync.WaitGroup
	defer g.Wait()
	slots := make(chan struct{}, maxQuestions)
	between := time.Duration(float64(time.Second) / s.opts.questions)
	for i, due := 0, s.begun.Add(between); sleepUntil(until, due); i, due = i+1, due.Add(between) {
		select {
		case slots <- struct{}{}:
			g.Go(func() { s.question(ctx, i%2 == 1, due); <-slots })
		default:
			s.skipped.Add(1)
		}
	}
}

// question asks about a tenant: about now, or about a window since the start.
func (s *siege) question(ctx context.Context, past bool, due time.Time) {
	tenant, query, kind := s.probes[rand.N(len(s.probes))].tenant, url.Values{}, &s.live
	if past {
		at := s.begun.Add(rand.N(time.Since(s.begun)))
		query.Set("timestamp", at.UTC().Format(time.RFC3339Nano))
		kind = &s.past
	}
	err := s.client.ask(ctx, tenant, query, io.Discard)
	kind.add(time.Since(due), err)
}
