package faulttest

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/timeblob/timeblob/tiered"
)

// Tier is a tiered.Tier that does what faults say.
type Tier struct {
	*Faults
	tier tiered.Tier
}

var _ tiered.Tier = (*Tier)(nil)

// NewTier returns a tier that does what tier does until a fault is injected.
// The seed makes Chance repeatable.
func NewTier(tier tiered.Tier, seed uint64) *Tier { return &Tier{newFaults(seed), tier} }

// Put implements tiered.Tier.
func (t *Tier) Put(ctx context.Context, key string, blob []byte) error {
	rule := t.choose(Call{Op: Put, Key: key}, []string{key})
	if rule != nil && rule.fault.Behind > 0 {
		blob = bytes.Clone(blob) // the caller's again when Put has returned
	}
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
	return rule.spoil(found, keys), err
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
