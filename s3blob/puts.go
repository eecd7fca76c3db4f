package s3blob

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// metaPut is the object metadata that tells one put from another:
// x-amz-meta-timeblob-put. Frozen.
const metaPut = "timeblob-put"

// maxUnknown is how many puts of unknown outcome are remembered.
const maxUnknown = 10_000

// put is one caller's wish to store a blob, with all its requests, over all the
// calls of Put that repeat it.
type put struct {
	key   string
	id    string // random; the object's metadata holds it
	again bool   // an earlier call may have stored the object
}

// puts remembers the puts that failed and may have taken effect, by key, so
// that a repeated put keeps its id. Its zero value is ready.
type puts struct {
	mu   sync.Mutex // guards open
	open map[string]openPut
}

type openPut struct {
	id  string
	sum [sha256.Size]byte
}

// begin returns the put of a key and blob: the one whose outcome is unknown, if
// there is one of the same bytes, and else a new one. Only one caller gets the
// old one.
func (s *puts) begin(key string, blob []byte) put {
	if o, ok := s.take(key); ok && o.sum == sha256.Sum256(blob) {
		return put{key, o.id, true}
	}
	return put{key: key, id: rand.Text()}
}

func (s *puts) take(key string) (openPut, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.open[key]
	delete(s.open, key)
	return o, ok
}

// unknown remembers that p failed and may have taken effect. When too many are
// remembered, one of them is forgotten: it costs an object that nothing names.
func (s *puts) unknown(p put, blob []byte) {
	o := openPut{p.id, sha256.Sum256(blob)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[string]openPut)
	}
	for key := range s.open {
		if len(s.open) < maxUnknown {
			break
		}
		delete(s.open, key)
	}
	s.open[p.key] = o
}
