package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/remote"
)

// process is a collector in a process of its own: this test's binary, run as a
// worker. It is told what to do over its standard input, and asked over HTTP.
type process struct {
	now     func() time.Time
	client  *remote.Client[ids]
	command *exec.Cmd
	said    bytes.Buffer // on standard error

	mu  sync.Mutex // held for a request and its reply
	in  io.WriteCloser
	out *json.Decoder
}

// startProcess starts a worker on some stores.
func startProcess(at place, now func() time.Time) (*process, error) {
	at.Now = now().UnixNano()
	stores, err := json.Marshal(at)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{now: now, command: exec.Command(self)}
	p.command.Env = append(os.Environ(), workerEnv+"="+string(stores))
	p.command.Stderr = &p.said
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	var first reply
	if err = p.out.Decode(&first); err == nil {
		p.client, err = remote.NewClient(first.URL, idstest.Codec{}, &remote.ClientOptions{Timeout: time.Minute})
	}
	if err != nil {
		return nil, p.end(fmt.Errorf("start a worker: %w", err))
	}
	return p, nil
}

// end waits for the process, whose input it closes.
func (p *process) end(err error) error {
	err = errors.Join(err, p.in.Close(), p.command.Wait())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.said.Bytes())
	}
	return nil
}

// tell sends a request and returns the reply.
func (p *process) tell(ctx context.Context, r request) (a reply, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Now, r.Cancel = p.now().UnixNano(), ctx.Err() != nil
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return a, err
	}
	if err := p.out.Decode(&a); err != nil {
		return a, fmt.Errorf("a worker's reply: %w", err)
	}
	switch {
	case a.Canceled:
		err = context.Canceled
	case a.Err != "":
		err = errors.New(a.Err)
	}
	return a, err
}

func (p *process) Add(ctx context.Context, tenant string, v ids, opts *bucket.AddOptions) error {
	r := request{Do: "add", Tenant: tenant, Value: v}
	if opts != nil {
		if r.ID = opts.ID; !opts.At.IsZero() {
			r.At = opts.At.UnixNano()
		}
	}
	_, err := p.tell(ctx, r)
	return err
}

func (p *process) Flush(ctx context.Context) error {
	_, err := p.tell(ctx, request{Do: "flush"})
	return err
}

func (p *process) Delete(ctx context.Context, tenant string, from, to time.Time, _ *bucket.DeleteOptions) (bucket.Deleted, error) {
	_, err := p.tell(ctx, request{Do: "delete", Tenant: tenant, From: from.UnixNano(), To: to.UnixNano()})
	return bucket.Deleted{}, err
}

func (p *process) DeleteTenant(ctx context.Context, tenant string, _ *bucket.DeleteOptions) (bucket.Deleted, error) {
	_, err := p.tell(ctx, request{Do: "delete tenant", Tenant: tenant})
	return bucket.Deleted{}, err
}

func (p *process) At(ctx context.Context, tenant string, at time.Time, _ *bucket.RangeOptions) (bucket.Answer[ids], error) {
	a, err := p.tell(ctx, request{Do: "at", Tenant: tenant, At: at.UnixNano()})
	return bucket.Answer[ids]{Value: a.Value, Entries: a.Entries}, err
}

func (p *process) RollUpBetween(ctx context.Context, tenant string, from, to time.Time, verify bool) error {
	what := "roll up"
	if verify {
		what = "verify"
	}
	_, err := p.tell(ctx, request{Do: what, Tenant: tenant, From: from.UnixNano(), To: to.UnixNano()})
	return err
}

// Close closes the collector and returns when the process has ended.
func (p *process) Close(ctx context.Context) error {
	_, err := p.tell(ctx, request{Do: "close"})
	return p.end(err)
}

// asked returns the client of the process, whose clock is set.
func (p *process) asked(ctx context.Context) (*remote.Client[ids], error) {
	_, err := p.tell(ctx, request{})
	return p.client, err
}

func (p *process) Held(ctx context.Context, tenant string, from, to time.Time) (bucket.Held[ids], error) {
	c, err := p.asked(ctx)
	if err != nil {
		return bucket.Held[ids]{}, err
	}
	return c.Held(ctx, tenant, from, to)
}

func (p *process) HeldTenants(ctx context.Context) ([]string, error) {
	return p.client.HeldTenants(ctx)
}

func (p *process) Tenants(ctx context.Context) ([]string, error) { return p.client.Tenants(ctx) }

func (p *process) RangeMany(ctx context.Context, tenants []string, from, to time.Time, opts *bucket.RangeOptions) (bucket.Answer[ids], error) {
	c, err := p.asked(ctx)
	if err != nil {
		return bucket.Answer[ids]{}, err
	}
	return c.RangeMany(ctx, tenants, from, to, opts)
}

func (p *process) Has(ctx context.Context, tenant string, from, to time.Time) (bool, error) {
	c, err := p.asked(ctx)
	if err != nil {
		return false, err
	}
	return c.Has(ctx, tenant, from, to)
}

func (p *process) Steps(ctx context.Context, tenant string, from, to time.Time, step time.Duration, opts *bucket.RangeOptions) iter.Seq2[bucket.Step[ids], error] {
	c, err := p.asked(ctx)
	if err != nil {
		return func(yield func(bucket.Step[ids], error) bool) { yield(bucket.Step[ids]{}, err) }
	}
	return c.Steps(ctx, tenant, from, to, step, opts)
}

func (p *process) Values(ctx context.Context, tenant string, from, to time.Time, opts *bucket.RangeOptions) iter.Seq2[bucket.Value[ids], error] {
	c, err := p.asked(ctx)
	if err != nil {
		return func(yield func(bucket.Value[ids], error) bool) { yield(bucket.Value[ids]{}, err) }
	}
	return c.Values(ctx, tenant, from, to, opts)
}

// apart is a world of two collectors, each in a process of its own, on the same
// servers. This process asks a querier with clients of its own.
func apart(t interface {
	rapid.TB
	Cleanup(func())
}, at place) world {
	start := func(t rapid.TB, _ int, now func() time.Time) member {
		p, err := startProcess(at, now)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	s, err := at.stack()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newInside(s, false, at.Mode, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	querier := func(t rapid.TB, now func() time.Time) *bucket.Querier[ids] {
		return newQuerier(t, clock(s.index, now, true), l.store, now)
	}
	return world{2, at.Mode, start, querier, func() stack { return s }}
}
