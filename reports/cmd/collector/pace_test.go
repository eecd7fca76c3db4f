package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/tiered"
)

// pace5 allows five calls a second and throttles the others.
type pace5 struct {
	err error

	mu     sync.Mutex
	second int64 // guarded by mu, as passed is
	passed int
}

func (p *pace5) take() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now().Unix(); now != p.second {
		p.second, p.passed = now, 0
	}
	if p.passed++; p.passed > 5 {
		return &throttledError{p.err}
	}
	return nil
}

// pacedIndex is an index with five provisioned read and write units.
type pacedIndex struct {
	index.Index
	reads, writes pace5
}

func (x *pacedIndex) Put(ctx context.Context, row index.Row, e index.Entry) error {
	if err := x.writes.take(); err != nil {
		return err
	}
	return x.Index.Put(ctx, row, e)
}

func (x *pacedIndex) Query(ctx context.Context, row index.Row, from, to int64) ([]index.Entry, error) {
	if err := x.reads.take(); err != nil {
		return nil, err
	}
	return x.Index.Query(ctx, row, from, to)
}

// pacedTier is a bucket that allows five reads and five writes a second.
type pacedTier struct {
	tiered.Tier
	reads, writes pace5
}

func (p *pacedTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if err := p.reads.take(); err != nil {
		return nil, err
	}
	return p.Tier.Get(ctx, keys)
}

func (p *pacedTier) Put(ctx context.Context, key string, blob []byte) error {
	if err := p.writes.take(); err != nil {
		return err
	}
	return p.Tier.Put(ctx, key, blob)
}

// paced is a store in memory that throttles.
func paced(t *testing.T, tenants ...string) *stores.Store {
	s := memory(t, tenants...)
	few, slow := &types.ProvisionedThroughputExceededException{}, &smithy.GenericAPIError{Code: "SlowDown"}
	s.Index = &pacedIndex{Index: s.Index, reads: pace5{err: few}, writes: pace5{err: few}}
	s.Authority = &pacedTier{Tier: s.Authority, reads: pace5{err: slow}, writes: pace5{err: slow}}
	return s
}

// TestCopyGoesAtTheStoresPace copies everything between stores that throttle.
func TestCopyGoesAtTheStoresPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		tenants := strings.Split("abcdefghijklmnopqrst", "")
		source, target := paced(t, tenants...), paced(t)
		for _, tenant := range tenants {
			fill(t, source.Patient((&cli.Process{Stderr: terminal.NewWriter(&buffer{})}).Warn), tenant, 10)
		}
		_, stdout, stderr, err := copyAll(t.Context(), source, target)
		if err != nil || !strings.HasPrefix(stdout, "copied 200 values") || strings.Contains(stderr, "not copied") {
			t.Errorf("error %v, said %q, %q", err, stdout, stderr)
		}
		if n := strings.Count(stderr, "so this takes longer: dynamodb://h/n: throttled\n"); n < 1 || n > 2 {
			t.Errorf("the pace is explained %d times, want once for each store: %q", n, stderr)
		}
		if took := time.Since(begin); took > 30*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestImportGoesAtTheStoresPace imports everything into a store that throttles.
func TestImportGoesAtTheStoresPace(t *testing.T) {
	t.Parallel()
	dir, tenant, inflated := t.TempDir(), "", cli.Size(1<<20)
	for i := range 40 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample("one", i))
	}
	synctest.Test(t, func(t *testing.T) {
		var said buffer
		b, err := files.Gather(&cli.Process{Stderr: terminal.NewWriter(&said)}, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		i := &importer{tenant: &tenant, parallel: 8, maxInflated: &inflated, store: paced(t)}
		if err := errors.Join(i.all(t.Context(), b), b.Err("")); err != nil || i.stored.Load() != 40 {
			t.Errorf("error %v, %d of 40 stored: %s", err, i.stored.Load(), said.String())
		}
	})
}

// TestThrottlingIsExplained checks that a person reads what to raise.
// TestPatienceEnds checks that with its context, and with what is no throttling.
// throttledError is what a store answers that is asked too often.
type throttledError struct{ err error }

func (e *throttledError) Error() string { return "dynamodb://h/n: throttled" }
func (e *throttledError) Unwrap() error { return e.err }
