package rollups

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/pause"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

// maxWaits is how often a copy waits for spans of the destination that are held.
const maxWaits = 5

// rolledUp is a tenant's roll-ups in the source.
type rolledUp struct {
	tenant     string
	all, final int // final: retention may have removed the reports in them
}

// Copier copies roll-ups from one store to another, after the reports.
type Copier struct {
	Process        *cli.Process
	Source, Target *stores.Store
	Owned          bool      // the target is a directory
	Shared         bool      // every process that writes the target's table knows roll-ups
	From, To       time.Time // the range to copy
	Parallel       int       // roll-ups at a time
}

// Copy copies the roll-ups of the given tenants, or of all tenants. Reported holds
// the tenants that had reports to copy.
func (k *Copier) Copy(ctx context.Context, tenants []string, reported map[string]bool) error {
	opts := &bucket.RollUpCopyOptions{Keep: k.Target.Retention, Parallel: k.Parallel, Failed: k.fail}
	r, err := bucket.NewRollUpCopier(bucket.RollUpStore{Index: k.Source.Index, Blobs: k.Source.Authority},
		bucket.RollUpStore{Index: k.Target.Index, Blobs: k.Target.Authority, Owned: k.Owned}, opts)
	if err != nil {
		return err
	}
	source, target, err := r.Levels(ctx)
	if err != nil {
		return err
	}
	found, err := k.rolledUp(ctx, r, source, tenants, reported)
	if err != nil || len(found) == 0 {
		return err
	}
	goOn, err := k.prepare(ctx, r, target, found)
	if err != nil || !goOn {
		return err
	}
	return k.carry(ctx, r, found)
}

// rolledUp counts the roll-ups of each tenant, if there may be some, and warns about tenants that have nothing.
func (k *Copier) rolledUp(ctx context.Context, r *bucket.RollUpCopier, some bool, tenants []string, reported map[string]bool) (found []rolledUp, err error) {
	all := append(slices.Collect(maps.Keys(reported)), tenants...)
	if some && len(tenants) == 0 {
		if all, err = Tenants(ctx, k.Source.Index); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	for _, tenant := range slices.Compact(all) {
		n := rolledUp{tenant: tenant}
		if some {
			n.all, n.final, err = r.Count(ctx, tenant, k.From, k.To)
		}
		if err != nil {
			return nil, err
		}
		if n.all > 0 {
			found = append(found, n)
		} else if slices.Contains(tenants, tenant) && !reported[tenant] {
			k.Process.Warn("warning: tenant %q has nothing to copy", tenant)
		}
	}
	return found, nil
}

// Tenants returns the tenants that have reports or roll-ups, sorted.
func Tenants(ctx context.Context, idx index.Index) (all []string, err error) {
	lister, ok := idx.(index.TenantLister)
	if !ok {
		return nil, cli.Usagef("the index, a %T, does not list its tenants: give --tenant", idx)
	}
	for tenant, err := range lister.Tenants(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, tenant)
	}
	slices.Sort(all)
	return all, nil
}

// prepare makes the destination ready for roll-ups, and waits until they may be written. It returns false
// where they may not, and can be built there.
func (k *Copier) prepare(ctx context.Context, r *bucket.RollUpCopier, ready bool, found []rolledUp) (goOn bool, err error) {
	final := 0
	for _, n := range found {
		final += n.final
	}
	if !ready && !k.Shared && !k.Owned {
		const hint = "give --rollup-shared if every process that writes the table knows roll-ups"
		if final > 0 {
			return false, fmt.Errorf("%s of reports that retention may have removed not copied: %s", human.Plural(final, "roll-up"), hint)
		}
		k.Process.Warn("roll-ups are not copied: %s", hint)
		return false, nil
	}
	from, err := r.Prepare(ctx)
	if other, ok := errors.AsType[*bucket.OtherLevelsError](err); ok {
		spans := cli.Spans(other.Spans)
		return false, fmt.Errorf("roll-ups are not copied: the destination has roll-ups of other spans, %s", spans.String())
	}
	if err != nil {
		return false, err
	}
	return true, k.wait(ctx, from, "roll-ups are copied from %s on, when every process that uses the destination knows of them")
}

// wait waits until an instant, and says why before.
func (k *Copier) wait(ctx context.Context, until time.Time, why string) error {
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	k.Process.Warn(why, until.UTC().Format(time.RFC3339))
	if pause.For(ctx, left) != nil {
		return cli.ErrInterrupted
	}
	return nil
}

// carry copies the roll-ups, and waits for spans that are held at the destination, where a roll-up cannot be
// built again.
func (k *Copier) carry(ctx context.Context, r *bucket.RollUpCopier, found []rolledUp) error {
	begin := time.Now()
	var sum bucket.RollUpsCopied
	for round := range maxWaits {
		next, err := k.carryAll(ctx, r, found)
		if round == 0 {
			sum.Present = next.Present
		}
		sum.Copied, sum.Bytes, sum.Failed = sum.Copied+next.Copied, sum.Bytes+next.Bytes, next.Failed
		sum.Left, sum.Waiting, sum.Until = next.Left, next.Waiting, next.Until
		if err == nil && !sum.Until.IsZero() && round+1 < maxWaits {
			err = k.wait(ctx, sum.Until, "some spans are held at the destination, and are copied from %s on")
		}
		if err != nil || sum.Until.IsZero() {
			return errors.Join(err, k.tell(sum, time.Since(begin)))
		}
	}
	return errors.Join(k.tell(sum, time.Since(begin)), fmt.Errorf("%s still in use at the destination: repeat the copy later", human.Plural(sum.Waiting, "span")))
}

// carryAll copies the roll-ups of each tenant once.
func (k *Copier) carryAll(ctx context.Context, r *bucket.RollUpCopier, found []rolledUp) (sum bucket.RollUpsCopied, err error) {
	for _, n := range found {
		done, err := r.Copy(ctx, n.tenant, k.From, k.To)
		sum.Copied, sum.Bytes, sum.Present = sum.Copied+done.Copied, sum.Bytes+done.Bytes, sum.Present+done.Present
		sum.Left, sum.Waiting, sum.Failed = sum.Left+done.Left, sum.Waiting+done.Waiting, sum.Failed+done.Failed
		if done.Until.After(sum.Until) {
			sum.Until = done.Until
		}
		if ctx.Err() != nil {
			return sum, cli.ErrInterrupted
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// tell says what was copied. Its error says that some were not.
func (k *Copier) tell(sum bucket.RollUpsCopied, took time.Duration) error {
	text := fmt.Sprintf("copied %s (%s), %d present", human.Plural(sum.Copied, "roll-up"), human.Bytes(sum.Bytes), sum.Present)
	if n := sum.Left + sum.Waiting; n > 0 {
		text += fmt.Sprintf(", %d left to be built at the destination", n)
	}
	fmt.Fprintf(k.Process.Stdout, "%s, in %s\n", text, human.Duration(took))
	if sum.Failed > 0 {
		return fmt.Errorf("%s not copied", human.Plural(sum.Failed, "roll-up"))
	}
	return nil
}

// fail reports a roll-up that was not copied.
func (k *Copier) fail(tenant string, level time.Duration, start time.Time, err error) {
	k.Process.Warn("not copied: tenant %q, roll-up of %v from %s: %v", tenant, level, start.UTC().Format(time.RFC3339), err)
}
