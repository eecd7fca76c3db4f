package fleet

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered"
)

// deletion is a range, or a whole tenant, that a process of the fleet deletes.
type deletion struct {
	tenant   string
	from, to int64
	whole    bool  // all values of the tenant
	of       *node // whose collector deletes; nil when the janitor does

	surely []int // values that are gone when it returns nil
}

// deleting is how long a deletion leaves blobs alone: longer than a write may be late. A directory stores a blob with its entry.
func (w *world) deleting() time.Duration {
	switch {
	case w.disk != nil:
		return 500 * time.Millisecond
	case w.harsh: // values wait for longer, and collectors rely on a blob for 30 s and one deadline
		return 30*time.Second + 2*deadline
	}
	return 10 * time.Second
}

// touches reports whether a deletion concerns a value for sure, and whether it may.
func (d *deletion) touches(v *value) (surely, perhaps bool) {
	inside := d.whole || !v.loose && v.earliest >= d.from && v.latest < d.to || v.at != 0 && v.at >= d.from && v.at < d.to
	held := d.of != nil && v.node == d.of
	switch {
	case v.tenant != d.tenant || v.none:
		return false, false
	case v.acked && inside && (held || v.at != 0):
		return true, true
	case v.at != 0:
		return false, v.at >= d.from && v.at < d.to
	}
	return false, d.whole || v.loose || (!v.acked || v.latest >= d.from) && v.earliest < d.to
}

// deletes notes that a deletion begins.
func (m *model) deletes(d *deletion) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.surely = nil
	for id, v := range m.values {
		surely, perhaps := d.touches(v)
		if surely && !m.mayLand(v) {
			d.surely = append(d.surely, id)
		}
		v.doubt = v.doubt || perhaps
	}
	m.active = append(m.active, d)
}

// mayLand reports whether a request that its sender gave up may store a value after a deletion that found nothing of it,
// and so did not wait: another deletion removed the value's entry, or took the value out of memory, and has not returned
// nil. DeleteOptions.Wait says that such a request may land up to the linger later. The caller holds mu.
func (m *model) mayLand(v *value) bool {
	for _, d := range m.active {
		if _, perhaps := d.touches(v); perhaps {
			return true
		}
	}
	return v.doubt && (time.Since(v.told) < linger || time.Since(v.interrupted) < linger)
}

// deleted notes that a deletion has ended, and returns how many more values are gone.
func (m *model) deleted(d *deletion, by *process, err error) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active = slices.DeleteFunc(m.active, func(a *deletion) bool { return a == d })
	m.failed = slices.DeleteFunc(m.failed, func(f *deletion) bool { return f == d || err == nil && d.covers(f) })
	if err != nil {
		m.failed = append(m.failed, d)
		for _, v := range m.values {
			if _, perhaps := d.touches(v); perhaps {
				v.interrupted = time.Now()
			}
		}
		return 0
	}
	m.events++
	for _, id := range d.surely {
		v := m.values[id]
		moved := v.loose && !d.whole && (v.at < d.from || v.at >= d.to)
		mayReturn := v.at == 0 && v.node != d.of // its process was killed meanwhile
		if v.gone == 0 && !moved && !mayReturn {
			v.gone, v.goneBy = m.events, by
			n++
		}
	}
	return n
}

// stored notes at which instant values have become discoverable.
func (m *model) stored(stored ids, at int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range stored {
		m.values[id].at, m.values[id].told = at, time.Now()
	}
}

// janitor is a process that only deletes.
type janitor struct {
	*stores
	store   *tiered.Store[ids]
	deleter *bucket.Deleter
}

func (w *world) newJanitor() *janitor {
	j := &janitor{stores: w.newStores()}
	j.store = j.open(w)
	var err error
	if j.deleter, err = bucket.NewDeleter(gateIndex{j.stores, ""}, j.store); err != nil {
		w.Fatal(err)
	}
	return j
}

func (j *janitor) close() {
	if j != nil {
		_ = j.store.Close(context.Background())
	}
}

// someDeletion chooses what is deleted, and by whom.
func (w *world) someDeletion() *deletion {
	d := &deletion{tenant: tenants[w.rng.IntN(len(tenants))], from: w.begun.Add(-far).UnixNano(), to: w.begun.Add(far).UnixNano()}
	if d.of = w.nodes[w.rng.IntN(len(w.nodes))]; w.janitor != nil && w.rng.IntN(3) == 0 {
		d.of = nil
	}
	kind := w.rng.IntN(8)
	switch {
	case w.harsh && kind > 1:
		from := wholeSecond(w.rng)
		length := []time.Duration{1, time.Second, 3 * time.Second}[w.rng.IntN(3)]
		d.from, d.to = from.UnixNano(), from.Add(length).UnixNano()
	case kind == 0:
		d.whole = true
	case kind == 1:
	default:
		from := time.Now().Add(-time.Duration(w.rng.Int64N(int64(time.Minute))))
		d.from, d.to = from.UnixNano(), from.Add(time.Duration(w.rng.Int64N(int64(15*time.Second)))).UnixNano()
		if w.rng.IntN(2) == 0 { // whole spans
			d.from, d.to = d.from-d.from%int64(spans[0]), d.to-d.to%int64(spans[0])
		}
	}
	return d
}

// delete lets a collector, or another process, delete something. It is interrupted now and then, and repeated.
func (w *world) delete(ctx context.Context) {
	d, rng := w.someDeletion(), rand.New(rand.NewPCG(w.seed, w.rng.Uint64()))
	if d.from >= d.to {
		return
	}
	w.deletions.Go(func() {
		for range 1 + rng.IntN(4) {
			deleting, cancel := context.WithCancel(ctx)
			if rng.IntN(2) == 0 {
				deleting, cancel = context.WithTimeout(ctx, time.Duration(rng.Int64N(int64(25*time.Second))))
			}
			err := w.deleteOnce(deleting, d)
			cancel()
			if err == nil {
				return
			}
			sleep(ctx, time.Duration(rng.Int64N(int64(2*time.Second))))
		}
	})
}

var errDown = errors.New("nobody is there to delete")

// deleteOnce makes one attempt.
func (w *world) deleteOnce(ctx context.Context, d *deletion) error {
	var by *process
	if d.of != nil {
		if by = d.of.running(); by == nil {
			return errDown
		}
	}
	w.model.deletes(d)
	err := w.carryOut(ctx, d, by)
	if by != nil && by.dead.Load() {
		err = errors.Join(err, errDead)
	}
	w.stats.deleted.Add(w.model.deleted(d, by, err))
	if err != nil {
		w.stats.interrupted.Add(1)
		return err
	}
	w.stats.deletions.Add(1)
	return nil
}

func (w *world) carryOut(ctx context.Context, d *deletion, by *process) (err error) {
	from, to, opts := time.Unix(0, d.from), time.Unix(0, d.to), &bucket.DeleteOptions{Wait: w.deleting()}
	if by == nil {
		if d.whole {
			_, err = w.janitor.deleter.DeleteTenant(ctx, d.tenant, opts)
		} else {
			_, err = w.janitor.deleter.Delete(ctx, d.tenant, from, to, opts)
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(by.ctx, cancel)()
	if d.whole {
		_, err = by.collector.DeleteTenant(ctx, d.tenant, opts)
	} else {
		_, err = by.collector.Delete(ctx, d.tenant, from, to, opts)
	}
	return err
}

// covers reports whether a deletion takes all that another one does.
func (d *deletion) covers(other *deletion) bool {
	return d.tenant == other.tenant && (d.whole || !other.whole && d.from <= other.from && other.to <= d.to)
}

// leftAt reports whether a failed deletion may have left an entry at an instant without its blob: it concerned a value that may be there,
// and was not repeated.
func (m *model) leftAt(tenant string, at int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	instant := &deletion{tenant: tenant, from: at, to: at + 1}
	if slices.ContainsFunc(m.values, func(v *value) bool { return v.tenant == tenant && v.at == at && v.interrupted.IsZero() }) {
		return false
	}
	return slices.ContainsFunc(m.failed, func(d *deletion) bool { return d.covers(instant) }) &&
		slices.ContainsFunc(m.values, func(v *value) bool {
			there := v.at == at || v.at == 0 && (v.loose || v.earliest <= at && at <= v.latest)
			return v.tenant == tenant && !v.interrupted.IsZero() && there
		})
}

// deleteLeft deletes the entries whose blobs a question did not find, if failed deletions may have left all of them: a
// deletion that failed has to be repeated. It reports whether it has deleted them.
func (w *world) deleteLeft(tenant string, err error) bool {
	missing, ok := errors.AsType[*bucket.MissingError](err)
	if !ok || slices.ContainsFunc(missing.Entries, func(e index.Entry) bool { return !w.model.leftAt(tenant, e.Time) }) {
		return false
	}
	for _, e := range missing.Entries {
		w.Logf("seed %d: tenant %q: the entry at %d has no blob since a deletion failed, and is deleted", w.seed, tenant, e.Time)
		if err := w.deleteOnce(context.Background(), &deletion{tenant: tenant, from: e.Time, to: e.Time + 1, of: w.nodes[0]}); err != nil {
			w.Errorf("seed %d: nothing fails any more, and a deletion does: %v", w.seed, err)
		}
	}
	return true
}

// lastDeletion deletes something when nothing fails any more.
func (w *world) lastDeletion() {
	d := w.someDeletion()
	if d.from >= d.to {
		return
	}
	if err := w.deleteOnce(context.Background(), d); err != nil {
		w.Errorf("seed %d: nothing fails any more, and a deletion does: %v", w.seed, err)
	}
}
