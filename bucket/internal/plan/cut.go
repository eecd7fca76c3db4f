package plan

import (
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// kind says how the merge of a unit is made.
type kind int

const (
	loose kind = iota // flat, with all other loose pieces of the question
	whole             // by itself: all pieces of one span
	row               // by itself: several whole spans of one length, in a row
)

// unit is a part of a question.
type unit struct {
	pieces
	tenant string
	kind   kind
	length int   // of its spans, as a place among the question's lengths
	size   int64 // of its spans, in nanoseconds
	keep   bool  // the merge of a whole span, or of a row, may be kept
}

// lengths are the lengths of the spans whose merges may be kept, in nanoseconds,
// ascending: the quantum and the levels that are longer.
type lengths []int64

func lengthsOf(quantum time.Duration, spans []time.Duration) lengths {
	l := lengths{int64(quantum)}
	for _, span := range spans {
		if span > quantum {
			l = append(l, int64(span))
		}
	}
	return l
}

// cutter cuts pieces of a tenant into units.
type cutter struct {
	lengths lengths
	tenant  string
	settled int64 // before it a span must have ended to be kept
	keeps   bool  // there is a cache
	once    bool  // what is not kept yet shall not be
	units   []unit
}

// all appends the units of the pieces of [from, to). Pieces that are not settled
// are loose.
func (c *cutter) all(p pieces, from, to int64) {
	settled := max(from, min(to, c.settled))
	c.cut(p.between(from, settled), from, settled, len(c.lengths)-1)
	c.loose(p.between(settled, to))
}

// cut appends the units of settled pieces. The longest spans that fit come in a
// row, and the edges that they leave are cut at the next shorter length.
func (c *cutter) cut(p pieces, from, to int64, length int) {
	for ; p.len() > 0 && c.keeps && length >= 0; length-- {
		first, end := levels.Whole(from, to, c.lengths[length])
		if first >= end {
			continue
		}
		c.cut(p.between(from, first), from, first, length-1)
		c.row(p.between(first, end), length)
		c.cut(p.between(end, to), end, to, length-1)
		return
	}
	c.loose(p)
}

func (c *cutter) loose(p pieces) {
	if p.len() > 0 {
		c.units = append(c.units, unit{pieces: p, tenant: c.tenant})
	}
}

// row appends whole spans: in a row whose merge is kept where they are several.
// Rows of the shortest spans would change with each tick and are not kept.
func (c *cutter) row(p pieces, length int) {
	all := c.spans(p, length, !c.once)
	if length > 0 && len(all) > 1 {
		all = []unit{{pieces: p, tenant: c.tenant, kind: row, length: length, size: c.lengths[length], keep: !c.once}}
	}
	c.units = append(c.units, all...)
}

// spans cuts pieces at the edges of spans that are all whole. A span of one piece
// is loose.
func (c *cutter) spans(p pieces, length int, keep bool) (all []unit) {
	for p.len() > 0 {
		end := (index.Floor(p.first(), c.lengths[length]) + 1) * c.lengths[length]
		u := unit{pieces: p.between(p.first(), end), tenant: c.tenant}
		p = p.between(end, p.last()+1)
		if u.len() > 1 {
			u.kind, u.length, u.size, u.keep = whole, length, c.lengths[length], keep
		}
		all = append(all, u)
	}
	return all
}

// within returns the parts of a row, or of a span with many pieces. The parts of a
// span are not kept: its merge stands for them.
func (c *cutter) within(u *unit) []unit {
	switch {
	case u.kind == row:
		return c.spans(u.pieces, u.length, u.keep)
	case u.length > 1:
		return c.spans(u.pieces, u.length-1, false)
	}
	return []unit{{pieces: u.pieces, tenant: u.tenant}}
}
