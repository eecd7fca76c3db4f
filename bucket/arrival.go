package bucket

import (
	"errors"
	"fmt"
)

// AddBlob is Add of a value of which the caller has a blob that the store may
// keep as it is: one that decodes to v, and that everybody who reads the store
// can decode. It saves the encoding where v is the only value of its tick and,
// where Blobs is a Decoder, the memory between the blob and v. The collector
// keeps the blob as well.
func (c *Collector[T]) AddBlob(tenant string, v T, blob []byte) error {
	return c.add(tenant, arrival[T]{value: v, open: true, blob: blob})
}

// AddPacked is AddBlob of a value that the caller knows to be good and has not
// kept. The collector decodes it when it must, which Rests says beforehand.
// Where Blobs is no Decoder it is an error.
func (c *Collector[T]) AddPacked(tenant string, blob []byte) error {
	return c.add(tenant, arrival[T]{blob: blob})
}

// Rests reports whether a value that came now with its blob would wait as that
// blob: it is the first of its tick, more are not likely, and the window is
// short enough to be merged when somebody asks.
func (c *Collector[T]) Rests(tenant string) bool {
	t := c.lookup(tenant)
	if t == nil {
		return c.packing.decoder != nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.rests(t)
}

// arrival is a value that is being added.
type arrival[T any] struct {
	value T
	open  bool   // value is there
	blob  []byte // nil where the caller has none
}

// least returns how many bytes an arrival counts at the least.
func (c *Collector[T]) least(a arrival[T]) int64 {
	if a.blob != nil {
		return int64(len(a.blob))
	}
	return max(c.opts.Size(a.value), 1)
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
	if a.blob != nil && c.rests(t) {
		return true, c.put(t, packed[T](a.blob), int64(len(a.blob)))
	}
	if err := c.open(&a); err != nil {
		return true, err
	}
	first, some := t.window.Current()
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

// open decodes an arrival that is packed.
func (c *Collector[T]) open(a *arrival[T]) (err error) {
	switch {
	case a.open:
		return nil
	case c.packing.decoder == nil:
		return errors.New("the blob store does not decode: add the value")
	}
	a.value, err = c.packing.decode(a.blob)
	return err
}

// rests reports whether a value that comes with its blob is put to rest. The
// tenant's mutex is held.
func (c *Collector[T]) rests(t *tenant[T]) bool {
	_, some := t.window.Current()
	return !some && !t.busy && c.mayRest(t)
}

// put adds a parcel, of so many bytes, to the current tick. The tenant's mutex
// is held.
func (c *Collector[T]) put(t *tenant[T], p *parcel[T], size int64) error {
	if err := c.reserve(t, size); err != nil {
		return err
	}
	return c.putReserved(t, p, size)
}

// putReserved is put of a parcel of which the bytes are counted.
func (c *Collector[T]) putReserved(t *tenant[T], p *parcel[T], size int64) error {
	taken := false
	defer func() {
		if !taken { // refused by the merge, which may as well have panicked
			c.count(t, -size)
		}
	}()
	if err := t.window.Add(p); err != nil {
		return fmt.Errorf("merge a value of tenant %q: %w", t.id, err)
	}
	taken = true
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
	if err := c.reserve(t, more); err != nil {
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
