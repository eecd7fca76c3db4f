package plan

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// Rolled is the merge of a span, to be stored as its roll-up.
type Rolled[T any] struct {
	Value T      // the zero value when Count is 0
	Count int    // values in it
	Print string // of the entries; see Print
	Bytes int64  // of the blobs that it was merged from
}

// Merge merges the roll-ups and the entries of consecutive parts of a tenant's
// time. It reads the entries now. It uses merges that are kept, and keeps none.
// It breaks seals as questions do, and its error is theirs: nothing is left
// out.
func (p *Past[T]) Merge(ctx context.Context, tenant string, parts []levels.Part) (r Rolled[T], err error) {
	if len(parts) == 0 {
		return r, nil
	}
	s, err := p.gather(ctx, tenant, parts, nil)
	if err != nil {
		return r, err
	}
	print, err := printOf(&s)
	if err != nil {
		return r, err
	}
	q := Question[T]{Series: []Series{s}, From: parts[0].From, To: parts[len(parts)-1].To, once: true}
	if err := p.allow(&q); err != nil {
		return r, err
	}
	m, err := p.answer(ctx, &q)
	for err == nil && p.goDown(ctx, &q, m.lost) {
		m, err = p.answer(ctx, &q)
	}
	if err == nil && len(m.lost) > 0 {
		err = failure(m.lost, m.failed)
	}
	return Rolled[T]{m.value, m.count, print.String(), m.blobs}, err
}

// Print is the fingerprint of a set of entries, in any order: the sum, modulo
// 2¹²⁸, of the first 16 bytes of the SHA-256 of each entry, in the form that
// fingerprint shows. So the print of a span is the sum of the prints of its
// parts, however it was cut. Frozen: seals hold it.
type Print [2]uint64 // the lower half first

// Add returns the print of both sets of entries together.
func (p Print) Add(other Print) Print {
	low := p[0] + other[0]
	high := p[1] + other[1]
	if low < p[0] {
		high++
	}
	return Print{low, high}
}

func (p Print) String() string {
	b := binary.BigEndian.AppendUint64(nil, p[1])
	return hex.EncodeToString(binary.BigEndian.AppendUint64(b, p[0]))
}

// ParsePrint reads what String wrote.
func ParsePrint(s string) (Print, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 {
		return Print{}, fmt.Errorf("print %.40q: must have 32 hex digits", s)
	}
	return Print{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[:8])}, nil
}

// PrintOf returns the print of entries.
func PrintOf(entries []index.Entry) (all Print) {
	var scratch []byte
	for _, e := range entries {
		scratch = appendPiece(scratch[:0], e.Time, e.Key, e.Sum)
		sum := sha256.Sum256(scratch)
		all = all.Add(Print{binary.BigEndian.Uint64(sum[8:16]), binary.BigEndian.Uint64(sum[:8])})
	}
	return all
}

// printOf returns the print of the entries that a series stands for.
func printOf(s *Series) (Print, error) {
	all := PrintOf(s.Entries)
	for i := range s.Rolled {
		print, err := ParsePrint(s.Rolled[i].Print)
		if err != nil {
			return all, fmt.Errorf("the seal of the %v: %w", s.Rolled[i].Span, err)
		}
		all = all.Add(print)
	}
	return all, nil
}
