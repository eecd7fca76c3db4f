package bucket

import "errors"

// arrival is a value that is being added.
type arrival[T any] struct {
	value T
	blob  []byte // nil where the caller has none
}

// addTo merges a value into a tenant's current tick; false when the collector
// has forgotten the tenant meanwhile. A value that comes first, with its blob,
// is put to rest unless more are likely to follow, as they did in the last
// tick.
func (c *Collector[T]) addTo(t *tenant[T], a arrival[T]) (known bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone {
		return false, nil
	}
	first, some := t.window.Current()
	if !some && a.blob != nil && !t.busy && c.mayRest(t) {
		return true, c.put(t, packed[T](a.blob), int64(len(a.blob)))
	}
	size := max(c.opts.Size(a.value), 1)
	if some && !first.isOpen() {
		return true, c.putBeside(t, first, opened(a.value), size)
	}
	added := opened(a.value)
	if !some && a.blob != nil {
		added.form.Store(&form[T]{value: a.value, open: true, blob: a.blob})
		size += int64(len(a.blob))
	}
	return true, c.put(t, added, size)
}

// put adds a parcel, of so many bytes, to the current tick. The tenant's mutex
// is held.
func (c *Collector[T]) put(t *tenant[T], p *parcel[T], size int64) error {
	if err := c.reserve(size); err != nil {
		return err
	}
	return c.putReserved(t, p, size)
}

// putReserved is put of a parcel of which the bytes are counted.
func (c *Collector[T]) putReserved(t *tenant[T], p *parcel[T], size int64) error {
	if err := t.window.Add(p); err != nil {
		c.release(size)
		return err
	}
	t.size += size
	t.adds++
	return nil
}

// putBeside adds a parcel to a tick of which the value is at rest: it is opened,
// and counts in place of its blob. The tenant's mutex is held.
func (c *Collector[T]) putBeside(t *tenant[T], first, p *parcel[T], size int64) error {
	blob := first.blob()
	v, err := c.packing.decode(blob)
	if err != nil {
		return err
	}
	more := size + c.opts.Size(v) - int64(len(blob))
	if err := c.reserve(more); err != nil {
		if full, ok := errors.AsType[*FullError](err); ok {
			full.Size = size // what is refused
		}
		return err
	}
	first.form.Store(&form[T]{value: v, open: true, blob: blob})
	return c.putReserved(t, p, more)
}

// mayRest reports whether a tenant's values may be at rest: where the window
// has more ticks, its merges are made before anybody asks.
func (c *Collector[T]) mayRest(t *tenant[T]) bool {
	return c.packing.decoder != nil && t.window.few()
}
