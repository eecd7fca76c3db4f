package tiered

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Delete removes the blobs of keys from the authority, then from the caches
// that are a Deleter, and from memory. Nothing may name the keys any more, and
// they must not be put again: a Get that began before may bring a blob back
// into memory or a cache, where it stays until it is evicted. A cache that
// fails to delete, or cannot, is no error; failures are counted. The error of
// an authority that is no Deleter is errors.ErrUnsupported. After an error some
// blobs may be gone, and Delete may be called again.
func (s *Store[T]) Delete(ctx context.Context, keys []string) error {
	if s.closed.Load() {
		return ErrClosed
	}
	last := len(s.levels) - 1
	if err := s.levels[last].delete(ctx, keys); err != nil {
		return err
	}
	for _, l := range s.levels[:last] {
		l.queue.forget(keys)
		_ = l.delete(ctx, keys) // it was counted
	}
	for _, key := range keys {
		s.memory.Remove(key)
	}
	return ctx.Err()
}

// List yields keys that are in the authority, as Lister says.
// The error of an authority that is no Lister is errors.ErrUnsupported.
func (s *Store[T]) List(ctx context.Context, prefix string, from, to int64) iter.Seq2[string, error] {
	authority := s.levels[len(s.levels)-1]
	return func(yield func(string, error) bool) {
		lister, ok := authority.tier.(Lister)
		if !ok {
			yield("", &TierError{Tier: authority.name, Op: opList, Keys: []string{prefix}, Err: errors.ErrUnsupported})
			return
		}
		for key, err := range lister.List(ctx, prefix, from, to) {
			if err != nil {
				err = &TierError{Tier: authority.name, Op: opList, Keys: []string{prefix}, Err: err}
			}
			if !yield(key, err) {
				return
			}
		}
	}
}

// delete removes blobs from the tier. A cache that cannot delete keeps them.
func (l *level) delete(ctx context.Context, keys []string) error {
	deleter, ok := l.tier.(Deleter)
	switch {
	case !ok && l.isAuthority():
		return &TierError{Tier: l.name, Op: opDelete, Keys: keys, Err: fmt.Errorf("a %T: %w", l.tier, errors.ErrUnsupported)}
	case !ok:
		return nil
	}
	bounded, cancel := l.bound(ctx)
	defer cancel()
	err := deleter.Delete(bounded, keys)
	l.metrics.fault(ctx, err)
	if err != nil {
		return &TierError{Tier: l.name, Op: opDelete, Keys: keys, Err: err}
	}
	return nil
}
