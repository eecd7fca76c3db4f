package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/s3blob"
)

const (
	// copiedRows is how many rows are copied at a time, so that the queries of rows with few entries overlap.
	copiedRows = 8
	// maxFaults is after how many failures of a store a copy gives up. Values that are faulty themselves do
	// not count.
	maxFaults = 10
)

var errGaveUp = errors.New("gave up: repeat the copy once the cause is fixed")

// These errors concern one value. The copy goes on with the others.
var (
	errNoBlob = errors.New("the source's index names this blob, but the source does not have it")
	errTaken  = errors.New("the destination holds another value at this instant")
	errOther  = errors.New("the destination holds another blob under this key, or another value at this instant")
)

// copier copies values from one store to another. It is used once.
type copier struct {
	p              *cli.Process
	source, target *stores.Store
	from, to       int64               // the range to copy, in Unix nanoseconds
	slots          *semaphore.Weighted // bounds the blobs in memory

	mu   sync.Mutex
	have map[string]bool // the tenants with values in the range; guarded by mu

	copied, present, expired, failed, faults, volume atomic.Int64
}

func newCopier(p *cli.Process, source, target *stores.Store, parallel int) *copier {
	return &copier{p: p, source: source.Patient(p.Warn), target: target.Patient(p.Warn), slots: semaphore.NewWeighted(int64(parallel)),
		have: make(map[string]bool)}
}

// copy copies the values of the given tenants, or of all tenants, and returns what it did with them.
func (k *copier) copy(ctx context.Context, tenants []string) error {
	begin := time.Now()
	rows, err := k.source.Rows(ctx, tenants, k.from, k.to)
	if err != nil {
		return err
	}
	err = k.all(ctx, rows)
	fmt.Fprint(k.p.Stdout, k.tally(time.Since(begin)))
	if n := int(k.failed.Load()); n > 0 {
		err = errors.Join(err, fmt.Errorf("%s not copied", human.Plural(n, "value")))
	}
	return err
}

// tally counts the values of a copy by result.
func (k *copier) tally(took time.Duration) string {
	text := fmt.Sprintf("copied %s (%s), %d present", human.Plural(int(k.copied.Load()), "value"),
		human.Bytes(k.volume.Load()), k.present.Load())
	if n := k.expired.Load(); n > 0 {
		text += fmt.Sprintf(", %d too old for the destination's retention", n)
	}
	return text + fmt.Sprintf(", of %s, in %s\n", human.Plural(len(k.have), "tenant"), human.Duration(took))
}

// all copies several rows at a time.
func (k *copier) all(ctx context.Context, rows []index.Row) error {
	shown := terminal.StartProgress(k.p.Stderr, "copy", "hour", len(rows))
	defer shown.End()
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(copiedRows)
	for _, row := range rows {
		if running.Err() != nil {
			break
		}
		g.Go(func() error {
			defer shown.Add()
			return k.row(running, row)
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return cli.ErrInterrupted
	}
	return err
}

// row copies those entries of a row that the destination lacks.
func (k *copier) row(ctx context.Context, row index.Row) error {
	entries, err := k.source.Index.Query(ctx, row, k.from, k.to)
	if err != nil || len(entries) == 0 {
		return err
	}
	k.note(row.Tenant)
	there, err := k.target.Index.Query(ctx, row, entries[0].Time, entries[len(entries)-1].Time+1)
	if err != nil {
		return err
	}
	g, running := errgroup.WithContext(ctx)
	for _, e := range k.missing(row, entries, there) {
		if k.slots.Acquire(running, 1) != nil {
			break
		}
		g.Go(func() error {
			defer k.slots.Release(1)
			return k.judge(running, row, e, k.value(running, row, e))
		})
	}
	return g.Wait()
}

// note records that a tenant has values in the range.
func (k *copier) note(tenant string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have[tenant] = true
}

// missing returns the entries to copy.
func (k *copier) missing(row index.Row, entries, there []index.Entry) (missing []index.Entry) {
	for _, e := range entries {
		i, taken := slices.BinarySearchFunc(there, e.Time, func(t index.Entry, at int64) int { return cmp.Compare(t.Time, at) })
		switch {
		case taken && slices.ContainsFunc(there[i:], sameAs(e)):
			k.present.Add(1)
		case taken:
			k.fail(row, e, errTaken)
		case k.target.Outlived(e.Time):
			k.expired.Add(1)
		default:
			missing = append(missing, e)
		}
	}
	return missing
}

// sameAs returns a function that reports whether another entry names the same blob. Either may lack the sum.
func sameAs(e index.Entry) func(index.Entry) bool {
	return func(other index.Entry) bool {
		return e.Time == other.Time && e.Key == other.Key && (e.Sum == other.Sum || !e.Sum.Known() || !other.Sum.Known())
	}
}

// value copies one value: first its blob, then its entry.
func (k *copier) value(ctx context.Context, row index.Row, e index.Entry) error {
	found, err := k.source.Authority.Get(ctx, []string{e.Key})
	if err != nil {
		return err
	}
	blob := found[0]
	if blob == nil {
		return errNoBlob
	}
	if err := stores.Check(e, blob); err != nil {
		return err
	}
	err = k.target.Commit(ctx, row, e, blob)
	if errors.Is(err, index.ErrExists) {
		err = k.complete(ctx, row, e, blob)
	}
	if err == nil {
		k.copied.Add(1)
		k.volume.Add(int64(len(blob)))
	}
	return err
}

// complete adds the entry of a blob that the destination already has. An interrupted copy leaves such blobs,
// and a concurrent copy has them for a moment.
func (k *copier) complete(ctx context.Context, row index.Row, e index.Entry, blob []byte) error {
	found, err := k.target.Authority.Get(ctx, []string{e.Key})
	if err != nil {
		return err
	}
	if found[0] == nil || !bytes.Equal(found[0], blob) {
		return errOther
	}
	err = k.target.Put(ctx, row, e)
	if !errors.Is(err, index.ErrExists) {
		return err
	}
	entries, err := k.target.Index.Query(ctx, row, e.Time, e.Time+1)
	if err == nil && !slices.ContainsFunc(entries, sameAs(e)) {
		err = errTaken
	}
	return err
}

// judge returns nil for an error after which the copy may go on.
func (k *copier) judge(ctx context.Context, row index.Row, e index.Entry, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.Is(err, dynamoindex.ErrExpired):
		k.expired.Add(1)
		return nil
	}
	k.fail(row, e, err)
	if alone(err) || k.faults.Add(1) < maxFaults {
		return nil
	}
	return errGaveUp
}

// alone reports whether an error concerns one value and not a store.
func alone(err error) bool {
	return slices.ContainsFunc([]error{errNoBlob, errTaken, errOther, stores.ErrDamaged, s3blob.ErrTooLarge},
		func(of error) bool { return errors.Is(err, of) })
}

// fail reports a value that was not copied.
func (k *copier) fail(row index.Row, e index.Entry, err error) {
	k.failed.Add(1)
	k.p.Warn("not copied: tenant %q, instant %d, blob %s: %v", row.Tenant, e.Time, e.Key, err)
}
