package plan

import (
	"cmp"
	"slices"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
)

// pieces are what a part of a tenant's range is merged from: entries, and the
// roll-ups of sealed spans. No roll-up covers one of the entries. Both ascend.
type pieces struct {
	entries []index.Entry
	rolled  []levels.Place // each a seal of a span that has entries
}

func (p *pieces) len() int { return len(p.entries) + len(p.rolled) }

// between returns the pieces of [from, to). A roll-up is there when its span
// starts there. Nobody can append to what between returns.
func (p *pieces) between(from, to int64) pieces {
	a, _ := index.Search(p.entries, from)
	b, _ := index.Search(p.entries, to)
	c, d := searchPlace(p.rolled, from), searchPlace(p.rolled, to)
	return pieces{p.entries[a:max(a, b):max(a, b)], p.rolled[c:max(c, d):max(c, d)]}
}

// first returns the instant of the first piece. There is at least one.
func (p *pieces) first() int64 {
	if len(p.entries) == 0 || len(p.rolled) > 0 && p.rolled[0].Start < p.entries[0].Time {
		return p.rolled[0].Start
	}
	return p.entries[0].Time
}

// last returns the last instant that the pieces tell of: of an entry, or the
// last one of a roll-up's span. There is at least one piece.
func (p *pieces) last() (t int64) {
	n, m := len(p.entries), len(p.rolled)
	if m > 0 {
		t = p.rolled[m-1].End() - 1
	}
	if n > 0 && (m == 0 || p.entries[n-1].Time > t) {
		t = p.entries[n-1].Time
	}
	return t
}

// searchPlace returns the position of the first place that starts at t or later.
func searchPlace(places []levels.Place, t int64) int {
	i, _ := slices.BinarySearchFunc(places, t, func(p levels.Place, t int64) int { return cmp.Compare(p.Start, t) })
	return i
}

// appendRefs appends the blobs of the pieces, of the entries first.
func (p *pieces) appendRefs(refs []blob.Ref) []blob.Ref {
	refs = slices.Grow(refs, p.len())
	for i := range p.entries {
		refs = append(refs, p.entries[i].Ref())
	}
	for i := range p.rolled {
		refs = append(refs, p.rolled[i].Ref())
	}
	return refs
}

// entryOf returns a roll-up as an entry at the start of its span, for errors that
// name it.
func entryOf(p *levels.Place) index.Entry {
	return index.Entry{Time: p.Start, Key: p.Key, Size: p.Size, Sum: p.Sum}
}

// named returns the pieces as entries, ascending.
func (p *pieces) named() []index.Entry {
	if len(p.rolled) == 0 {
		return p.entries
	}
	all := slices.Clone(p.entries)
	for i := range p.rolled {
		all = append(all, entryOf(&p.rolled[i]))
	}
	slices.SortFunc(all, func(a, b index.Entry) int { return cmp.Compare(a.Time, b.Time) })
	return all
}

// head cuts the first n pieces off, of the entries first.
func (p *pieces) head(n int) (head, rest pieces) {
	k := min(n, len(p.entries))
	m := min(n-k, len(p.rolled))
	return pieces{p.entries[:k:k], p.rolled[:m:m]}, pieces{p.entries[k:], p.rolled[m:]}
}

// size returns the length of the n-th blob, of the entries' first.
func (p *pieces) size(n int) int64 {
	if n < len(p.entries) {
		return p.entries[n].Size
	}
	return p.rolled[n-len(p.entries)].Size
}

// piece returns the n-th piece, of the entries first, and how many values it
// stands for.
func (p *pieces) piece(n int) (one pieces, values int) {
	if n < len(p.entries) {
		return pieces{entries: p.entries[n : n+1 : n+1]}, 1
	}
	n -= len(p.entries)
	return pieces{rolled: p.rolled[n : n+1 : n+1]}, p.rolled[n].Entries
}
