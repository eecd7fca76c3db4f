package tiered

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
)

// MemTier is a tier in memory, for examples, tests and small programs. The
// zero value is an empty authority. It is not bounded and nothing leaves it
// but by Delete; for a bounded cache in memory a Store has its own. A MemTier
// must not be copied and may be used by any number of goroutines.
type MemTier struct {
	// Overwrite makes Put replace the blob of a taken key, as caches do. It
	// must be set before the first use.
	Overwrite bool

	mu    sync.RWMutex
	blobs map[string][]byte
	bytes int64
}

// Get returns copies of the blobs of the keys that the tier holds, by index.
func (m *MemTier) Get(ctx context.Context, keys []string) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := make([][]byte, len(keys))
	for i, key := range keys {
		if blob, ok := m.blobs[key]; ok {
			found[i] = append(make([]byte, 0, len(blob)), blob...)
		}
	}
	return found, nil
}

// Put stores a copy of blob. On a taken key it returns ErrExists, unless the
// tier overwrites.
func (m *MemTier) Put(ctx context.Context, key string, blob []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, taken := m.blobs[key]
	if taken && !m.Overwrite {
		return fmt.Errorf("key %q: %w", key, ErrExists)
	}
	if m.blobs == nil {
		m.blobs = make(map[string][]byte)
	}
	m.blobs[key] = bytes.Clone(blob)
	m.bytes += int64(len(blob)) - int64(len(old))
	return nil
}

// Delete implements Deleter.
func (m *MemTier) Delete(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		m.bytes -= int64(len(m.blobs[key]))
		delete(m.blobs, key)
	}
	return nil
}

// List implements Lister. It looks at every key of the tier, whatever its
// instant.
func (m *MemTier) List(ctx context.Context, prefix string, _, _ int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", err)
			return
		}
		for _, key := range m.keys(prefix) {
			if !yield(key, nil) {
				return
			}
		}
	}
}

func (m *MemTier) keys(prefix string) (keys []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for key := range m.blobs {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Len returns the number of blobs.
func (m *MemTier) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.blobs)
}

// Bytes returns the length of all blobs, keys and overhead not counted.
func (m *MemTier) Bytes() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.bytes
}
