package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/reports/report/wire"
)

// Kills is the result of a run that kills the collector again and again.
type Kills struct {
	Store                             string
	Kills                             int
	Took                              time.Duration
	Acknowledged, Refused, Unanswered int // posts
	Stored, Lost, Twice               int // reports; Lost were acknowledged
}

func (k *Kills) verdict() error {
	if k.Lost > 0 || k.Twice > 0 || k.Acknowledged == 0 {
		return fmt.Errorf("%d of %d acknowledged reports are lost, %d are stored twice", k.Lost, k.Acknowledged, k.Twice)
	}
	return nil
}

func (k *Kills) write(w io.Writer) error {
	t := table{{"store", k.Store}, {"kills", fmt.Sprintf("%d in %v", k.Kills, k.Took.Round(time.Second))},
		{"acknowledged", fmt.Sprint(k.Acknowledged)}, {"refused", fmt.Sprint(k.Refused)}, {"without an answer", fmt.Sprint(k.Unanswered)},
		{"stored", fmt.Sprint(k.Stored)}, {"lost", fmt.Sprint(k.Lost)}, {"stored twice", fmt.Sprint(k.Twice)}}
	t.write(w)
	return nil
}

// killing is a collector that is killed and started again, and the tenants that post to it.
type killing struct {
	opts    *options
	program string
	store   *backend
	begun   time.Time
	victims []*victim

	now atomic.Pointer[client] // of the collector that runs; nil between two
}

// maxVictims limits the tenants that post while the collector is killed.
const maxVictims = 16

// victim posts for one tenant. While it runs, only its goroutine uses its fields.
type victim struct {
	tenant              string
	sent                int
	taken               map[string]bool // ids of posts that were answered with 200
	refused, unanswered int
}

// killAgain kills collectors on one store, and then asks for everything that was acknowledged.
func killAgain(ctx context.Context, opts *options, stderr io.Writer) (result *Kills, err error) {
	dir, err := os.MkdirTemp("", "kills")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	opts.patience = 10 * time.Minute // the last one stores what all of them left
	k := &killing{opts: opts, begun: time.Now()}
	if k.program, err = build(ctx, dir, opts, stderr); err != nil {
		return nil, err
	}
	if k.store, err = openStore(opts.store, dir, stderr); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.store.end()) }()
	for i := range min(opts.tenants, maxVictims) {
		k.victims = append(k.victims, &victim{tenant: fmt.Sprintf("kill-%d", i), taken: make(map[string]bool)})
	}
	if err := k.besiege(ctx, stderr); err != nil {
		return nil, err
	}
	return k.sum(ctx)
}

// besiege kills a collector as often as the options say, while the tenants post.
func (k *killing) besiege(ctx context.Context, stderr io.Writer) error {
	posting, stop := context.WithCancel(ctx)
	var g sync.WaitGroup
	defer g.Wait()
	defer stop()
	for _, v := range k.victims {
		g.Go(func() { v.post(posting, &k.now) })
	}
	for spoken, life := time.Now(), 0; life < k.opts.kills; life++ {
		if err := k.live(ctx, k.store.pause != nil && life%3 == 2); err != nil {
			return fmt.Errorf("after %d kills: %w", life, err)
		}
		if time.Since(spoken) > k.opts.progress {
			spoken = time.Now()
			fmt.Fprintf(stderr, "load: %5s  %d kills\n", time.Since(k.begun).Round(time.Second), life+1)
		}
	}
	return nil
}

// live starts a collector and kills it at a random moment. In an outage the bucket does not answer meanwhile.
func (k *killing) live(ctx context.Context, outage bool) (err error) {
	t, err := k.start()
	if err != nil {
		return err
	}
	if outage {
		defer func() { err = errors.Join(err, k.store.resume()) }() // after the kill
		err = k.store.pause()
	}
	defer func() { err = errors.Join(err, t.kill()) }()
	if err != nil {
		return err
	}
	c := newClient(t.url, k.opts.header, len(k.victims))
	defer c.close()
	k.now.Store(c)
	defer k.now.Store(nil)
	if !sleepUntil(ctx, time.Now().Add(50*time.Millisecond+rand.N(time.Second))) {
		return ctx.Err()
	}
	return nil
}

// start starts a collector with a tick of some length.
func (k *killing) start() (*target, error) {
	ticks := []string{"100ms", "500ms", "3s"}
	flags := []string{"--tick", ticks[rand.N(len(ticks))], "--max-topology-nodes", "-1", "--log-level", "error",
		"--shutdown-timeout", "10m"}
	return start(k.program, slices.Concat(k.store.flags, flags), k.opts, io.Discard)
}

// post posts to the collector that runs until ctx ends.
func (v *victim) post(ctx context.Context, now *atomic.Pointer[client]) {
	for ctx.Err() == nil {
		c := now.Load()
		if c == nil {
			sleepUntil(ctx, time.Now().Add(5*time.Millisecond))
			continue
		}
		id := fmt.Sprintf("%s;%d", v.tenant, v.sent)
		v.sent++
		err := postTiny(ctx, c, v.tenant, id)
		_, answered := errors.AsType[*statusError](err)
		switch {
		case err == nil:
			v.taken[id] = true
		case answered:
			v.refused++
			sleepUntil(ctx, time.Now().Add(20*time.Millisecond))
		default:
			v.unanswered++
			sleepUntil(ctx, time.Now().Add(5*time.Millisecond))
		}
	}
}

// sum has one collector store everything, and another one answer from the store.
func (k *killing) sum(ctx context.Context) (*Kills, error) {
	t, err := k.start()
	if err != nil {
		return nil, err
	}
	if err := t.stop(); err != nil {
		return nil, err
	}
	if t, err = k.start(); err != nil {
		return nil, err
	}
	c := newClient(t.url, k.opts.header, len(k.victims))
	defer c.close()
	sum := &Kills{Store: k.opts.store, Kills: k.opts.kills, Took: time.Since(k.begun)}
	for _, v := range k.victims {
		err = errors.Join(err, sum.count(ctx, c, v, k.begun))
	}
	return sum, errors.Join(err, t.stop())
}

// count adds what became of a tenant's posts. Every report says that it was sampled once, and merges add that up, so that
// a report that was stored twice shows.
func (k *Kills) count(ctx context.Context, c *client, v *victim, begun time.Time) error {
	var text bytes.Buffer
	query := url.Values{"start": {begun.Add(-time.Minute).UTC().Format(time.RFC3339Nano)}}
	if err := c.ask(ctx, v.tenant, query, &text); err != nil {
		return fmt.Errorf("tenant %s: %w", v.tenant, err)
	}
	r, err := wire.DecodeMsgpack(text.Bytes())
	if err != nil {
		return err
	}
	found := make(map[string]bool)
	for _, n := range r.Topologies[marked].Nodes {
		found[n.ID] = true
	}
	k.Acknowledged, k.Refused, k.Unanswered = k.Acknowledged+len(v.taken), k.Refused+v.refused, k.Unanswered+v.unanswered
	k.Stored, k.Twice = k.Stored+len(found), k.Twice+int(r.Sampling.Count)-len(found)
	for id := range v.taken {
		if !found[id] {
			k.Lost++
		}
	}
	return nil
}
