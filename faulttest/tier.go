package faulttest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/timeblob/timeblob/tiered"
)

// Tier is a tiered.Tier that does what faults say.
type Tier struct {
	*Faults
	tier tiered.Tier
	put  recent
}

var _ tiered.Tier = (*Tier)(nil)

// NewTier returns a tier that does what tier does until a fault is injected.
// The seed makes Chance repeatable.
func NewTier(tier tiered.Tier, seed uint64) *Tier {
	return &Tier{Faults: newFaults(seed), tier: tier}
}

// Put implements tiered.Tier.
func (t *Tier) Put(ctx context.Context, key string, blob []byte) error {
	rule := t.choose(Call{Op: Put, Key: key}, []string{key})
	if rule != nil && rule.fault.Behind > 0 {
		blob = bytes.Clone(blob) // the caller's again when Put has returned
	}
	t.put.add(key)
	return rule.do(ctx, func(ctx context.Context) error { return t.tier.Put(ctx, key, blob) })
}

// Get implements tiered.Tier.
func (t *Tier) Get(ctx context.Context, keys []string) (found [][]byte, err error) {
	rule := t.choose(Call{Op: Get}, keys)
	err = rule.do(ctx, func(ctx context.Context) (err error) {
		found, err = t.tier.Get(ctx, keys)
		return err
	})
	if rule == nil || rule.fault.Pass {
		return found, err
	}
	if err == nil && rule.fault.Partial {
		err = rule.fault.cause(ErrInjected)
		halve(found)
	} else if err != nil && !rule.fault.Partial {
		return nil, err
	}
	if rule.fault.Misplace {
		t.misplace(ctx, rule, found, keys)
	}
	return rule.spoil(found, keys), err
}

// misplace puts the blobs of other keys in the place of blobs that were found.
func (t *Tier) misplace(ctx context.Context, rule *Rule, found [][]byte, keys []string) {
	for i, key := range keys {
		if i >= len(found) || found[i] == nil || !rule.matches(Call{Op: Get, Key: key}) {
			continue
		}
		if other := t.put.otherThan(key); other != "" {
			if blobs, err := t.tier.Get(ctx, []string{other}); err == nil && blobs[0] != nil {
				found[i] = blobs[0]
			}
		}
	}
}

// recent is the last keys that were put.
type recent struct {
	mu   sync.Mutex // guards the fields below
	keys [16]string
	n    int
}

func (r *recent) add(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[r.n%len(r.keys)] = key
	r.n++
}

// otherThan returns the latest key that is not the given one, or an empty one.
func (r *recent) otherThan(key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range min(r.n, len(r.keys)) {
		if other := r.keys[(r.n-1-i)%len(r.keys)]; other != key {
			return other
		}
	}
	return ""
}

// Delete implements tiered.Deleter for a tier that is one.
func (t *Tier) Delete(ctx context.Context, keys []string) error {
	deleter, ok := t.tier.(tiered.Deleter)
	if !ok {
		return errors.ErrUnsupported
	}
	rule := t.choose(Call{Op: Delete}, keys)
	return rule.do(ctx, func(ctx context.Context) error { return deleter.Delete(ctx, keys) })
}

// List implements tiered.Lister for a tier that is one. No fault touches it.
func (t *Tier) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	if lister, ok := t.tier.(tiered.Lister); ok {
		return lister.List(ctx, prefix, from, to)
	}
	return func(yield func(string, error) bool) { yield("", errors.ErrUnsupported) }
}

// halve drops half of what was found.
func halve(found [][]byte) {
	var held []int
	for i, blob := range found {
		if blob != nil {
			held = append(held, i)
		}
	}
	for _, i := range held[:(len(held)+1)/2] {
		found[i] = nil
	}
}

// spoil does to the blobs found what the fault says.
func (r *Rule) spoil(found [][]byte, keys []string) [][]byte {
	for i, blob := range found {
		if blob != nil && r.matches(Call{Op: Get, Key: keys[i]}) {
			found[i] = r.fault.spoilBlob(blob)
		}
	}
	if r.fault.Stray {
		found = append(found, []byte("a blob that nobody put"))
	}
	return found
}

// spoilBlob changes a blob. A corrupt empty blob has one byte.
func (f *Fault) spoilBlob(blob []byte) []byte {
	if f.Truncate {
		blob = blob[:len(blob)/2]
	}
	if !f.Corrupt {
		return blob
	}
	if len(blob) == 0 {
		return []byte{0xff}
	}
	flipped := bytes.Clone(blob)
	for i := range flipped {
		flipped[i] = ^flipped[i]
	}
	return flipped
}
