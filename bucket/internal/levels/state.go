package levels

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/index"
)

// Kind is what a place holds.
type Kind string

// The kinds of states. Frozen: they are stored.
const (
	Empty   Kind = ""
	Hold    Kind = "hold"
	Claimed Kind = "claim"
	Sealed  Kind = "seal"
	Void    Kind = "void"
	Open    Kind = "open"
)

// State is what a place holds, as JSON. Frozen: fields are only ever added.
type State struct {
	Kind  Kind  `json:"kind"`
	Until int64 `json:"until,omitempty"` // of a hold and a claim: when it expires, Unix nanoseconds of the store
	*Seal `json:",omitempty"`
	Why   string   `json:"why,omitempty"` // of a void: why a roll-up does not pay, at most 200 bytes
	Old   []string `json:"old,omitempty"` // keys of roll-ups that earlier states named, newest last; some may be gone
}

// Seal says which roll-up stands for a span.
type Seal struct {
	Key     string   `json:"key"`           // the roll-up's blob; empty when the span has no entries
	Size    int64    `json:"size"`          // the blob's length in bytes
	Sum     blob.Sum `json:"-"`             // the sum of its bytes
	SumHex  string   `json:"sum,omitempty"` // Sum as it is stored
	Entries int      `json:"entries"`       // merged into it
	Print   string   `json:"print"`         // fingerprint of those entries
	Codec   int      `json:"codec"`         // version of the codec that wrote the blob
}

// Ref returns the roll-up's blob.
func (s *Seal) Ref() blob.Ref { return blob.Ref{Key: s.Key, Size: s.Size, Sum: s.Sum} }

// maxOld bounds the keys that a place remembers. A blob that it forgets stays
// in the store until a lifecycle rule or a deletion by prefix removes it.
const maxOld = 5

// replaced returns the keys of roll-ups that nothing names once next replaces
// the place.
func (p *Place) replaced(next State) []string {
	old := slices.Clone(p.Old)
	switch {
	case p.Kind == Sealed && p.Seal.Key != "":
		old = append(old, p.Seal.Key)
	case p.Kind == Claimed:
		old = append(old, Key(p.Span, p.id))
	}
	if next.Seal != nil {
		old = slices.DeleteFunc(old, func(key string) bool { return key == next.Seal.Key })
	}
	return old[max(0, len(old)-maxOld):]
}

// Key returns the key of the roll-up that is built under a claim.
func Key(span Span, claim string) string {
	return index.RollUpKey(span.Tenant, span.Level, span.Start, claim)
}

// Span is one slice of time of a tenant at one level.
type Span struct {
	Tenant string
	Level  time.Duration // its length
	Start  int64         // Unix nanoseconds, a multiple of Level
}

// SpanAt returns the tenant's span of a level that holds the instant t. The span
// that holds the smallest int64 has no start in int64: for its instants SpanAt
// returns the span after it.
func SpanAt(tenant string, level time.Duration, t int64) Span {
	t = max(t, math.MinInt64+int64(level))
	return Span{tenant, level, index.Floor(t, int64(level)) * int64(level)}
}

// End returns the first instant after the span, Unix nanoseconds.
func (s Span) End() int64 { return s.Start + int64(s.Level) }

func (s Span) set() index.PlaceSet { return index.PlaceSet{Tenant: s.Tenant, Level: s.Level} }

func (s Span) String() string {
	return fmt.Sprintf("%v of tenant %q from %s", s.Level, s.Tenant, time.Unix(0, s.Start).UTC().Format(time.RFC3339))
}

// Place is a span with its state, as it was read.
type Place struct {
	Span
	State
	id string // of the state; empty for a place that was never written
}

// maxParsed bounds the states that a process remembers, about 400 bytes each.
const maxParsed = 20_000

// parsed remembers the states that were read last, by their IDs. A place gets a
// new ID each time that it is written, so what an ID names never changes.
type parsed struct {
	mu     sync.Mutex // guards states
	states map[string]State
}

// read reads the places that the index found.
func (c *parsed) read(span Span, found []index.Place, places []Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) > maxParsed || c.states == nil {
		c.states = make(map[string]State)
	}
	for i, f := range found {
		if state, ok := c.states[f.ID]; ok {
			places[i] = Place{Span: span, State: state, id: f.ID}
			places[i].Start = f.Start
			continue
		}
		place, err := parsePlace(span, f)
		if err != nil {
			return err
		}
		places[i] = place
		c.states[f.ID] = place.State
	}
	return nil
}

// parsePlace reads a state. One that this version does not understand is an
// error: its writer may have sealed the span.
func parsePlace(span Span, p index.Place) (Place, error) {
	place := Place{Span: span, id: p.ID}
	place.Start = p.Start
	if err := json.Unmarshal(p.State, &place.State); err != nil {
		return place, fmt.Errorf("place of the %v: %w", place.Span, err)
	}
	switch place.Kind {
	case Hold, Claimed, Void, Open:
		return place, nil
	case Sealed:
		return place, place.unpack()
	}
	return place, fmt.Errorf("place of the %v: unknown state %.40q: it was written by a newer version", place.Span, place.Kind)
}

func (p *Place) unpack() error {
	if p.Seal == nil {
		return fmt.Errorf("place of the %v: a seal without its roll-up", p.Span)
	}
	if p.SumHex == "" {
		return nil
	}
	sum, err := blob.ParseSum(p.SumHex)
	if err != nil {
		return fmt.Errorf("place of the %v: %w", p.Span, err)
	}
	p.Sum = sum
	return nil
}

// write returns the place as it is stored, under a new ID. Expires is 0 or in
// Unix seconds.
func write(span Span, s State, expires int64) (index.Place, error) {
	if s.Seal != nil {
		seal := *s.Seal
		if seal.Sum.Known() {
			seal.SumHex = seal.Sum.String()
		}
		s.Seal = &seal
	}
	state, err := json.Marshal(s)
	return index.Place{Start: span.Start, ID: rand.Text(), State: state, Expires: expires}, err
}
