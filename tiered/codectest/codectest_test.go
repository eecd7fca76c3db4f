package codectest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// list is a multiset of numbers with a cache that reading may fill.
type list struct {
	Numbers []int
	sorted  []int
}

type listCodec struct{ sorts bool }

func (c listCodec) Encode(l *list) ([]byte, error) {
	if c.sorts {
		l.sorted = slices.Sorted(slices.Values(l.Numbers))
	}
	return json.Marshal(l)
}

func (c listCodec) Decode(blob []byte) (*list, error) {
	l := &list{}
	return l, json.Unmarshal(blob, l)
}

func mergeLists(parts []*list) (*list, error) {
	sum := &list{}
	for _, p := range parts {
		sum.Numbers = append(sum.Numbers, p.Numbers...)
	}
	slices.Sort(sum.Numbers)
	return sum, nil
}

func same(a, b *list) bool { return slices.Equal(a.Numbers, b.Numbers) }

func clone(l *list) *list { return &list{Numbers: slices.Clone(l.Numbers)} }

func addInto(dst, src *list) (*list, error) {
	dst.Numbers = append(dst.Numbers, src.Numbers...)
	slices.Sort(dst.Numbers)
	return dst, nil
}

func samples() []*list {
	return []*list{{Numbers: []int{1}}, {Numbers: []int{2, 3}}, {Numbers: []int{1, 5}}, {}}
}

func TestAGoodCodecPasses(t *testing.T) {
	t.Parallel()
	Run(t, listCodec{}, mergeLists, samples(), &Options[*list]{Equal: same, Clone: clone, Into: addInto})
}

func TestACodecThatWritesPassesWithClone(t *testing.T) {
	t.Parallel()
	Run(t, listCodec{sorts: true}, mergeLists, samples(), &Options[*list]{Equal: same, Clone: clone})
}

// raw keeps the blob as the value.
type raw struct{}

func (raw) Encode(v []byte) ([]byte, error)    { return slices.Clone(v), nil }
func (raw) Decode(blob []byte) ([]byte, error) { return blob, nil }

// lossy forgets, or panics for a short blob.
type lossy struct{ listCodec }

func (lossy) Decode(blob []byte) (*list, error) { return &list{Numbers: []int{int(blob[0])}}, nil }

// trusting panics for a blob whose first byte is wrong, and takes an empty one.
type trusting struct{ listCodec }

func (trusting) Decode(blob []byte) (*list, error) {
	if len(blob) > 0 && blob[0] != '{' {
		panic("not a list")
	}
	return &list{}, nil
}

// reusing writes every blob to the same memory.
type reusing struct {
	listCodec
	buf bytes.Buffer
}

func (r *reusing) Encode(l *list) ([]byte, error) {
	r.buf.Reset()
	err := json.NewEncoder(&r.buf).Encode(l)
	return r.buf.Bytes(), err
}

// TestAPanicIsAnErrorOfItsCheck calls checks whose functions panic, in this goroutine and in others.
func TestAPanicIsAnErrorOfItsCheck(t *testing.T) {
	t.Parallel()
	s := &suite[*list]{codec: listCodec{}, merge: func([]*list) (*list, error) { panic("no merge") }, samples: samples(), opts: Options[*list]{Equal: same}}
	for name, check := range map[string]func() error{"merge": s.commutes, "readers": s.readTogether} {
		if err := guarded(check); err == nil || !strings.Contains(err.Error(), "panics: no merge") {
			t.Errorf("%s: got %v, want the panic", name, err)
		}
	}
}

// TestEachFaultIsFound breaks one promise after the other.
func TestEachFaultIsFound(t *testing.T) {
	t.Parallel()
	good := func() *suite[*list] {
		return &suite[*list]{codec: listCodec{}, merge: mergeLists, samples: samples(), opts: Options[*list]{Equal: same}}
	}
	for name, c := range map[string]struct {
		change func(*suite[*list])
		check  func(*suite[*list]) error
		want   string
	}{
		"encode writes":    {func(s *suite[*list]) { s.codec = listCodec{sorts: true} }, (*suite[*list]).encodingChangesNothing, "set CollectorOptions.Clone"},
		"decode forgets":   {func(s *suite[*list]) { s.codec = lossy{} }, (*suite[*list]).roundTrip, "another value"},
		"merges forget":    {func(s *suite[*list]) { s.codec = lossy{} }, (*suite[*list]).mergesRoundTrip, "another value"},
		"decode panics":    {func(s *suite[*list]) { s.codec = lossy{} }, (*suite[*list]).damagedBlobs, "panics"},
		"decode trusts":    {func(s *suite[*list]) { s.codec = trusting{} }, (*suite[*list]).damagedBlobs, "a wrong b"},
		"blob is reused":   {func(s *suite[*list]) { s.codec = &reusing{} }, (*suite[*list]).blobsApart, "must not use again"},
		"merge writes":     {func(s *suite[*list]) { s.merge = intoFirst }, (*suite[*list]).mergingChangesNothing, "changes them"},
		"merge takes over": {func(s *suite[*list]) { s.merge = takesOver }, (*suite[*list]).mergingChangesNothing, "a later merge"},
		"order matters":    {func(s *suite[*list]) { s.merge = inOrder }, (*suite[*list]).commutes, "order"},
		"grouping matters": {func(s *suite[*list]) { s.merge = counted }, (*suite[*list]).associates, "grouping"},
		"merge fails":      {func(s *suite[*list]) { s.merge = fails }, (*suite[*list]).commutes, "broken"},
		"clone is shallow": {func(s *suite[*list]) {
			s.codec = listCodec{sorts: true}
			s.opts.Clone = func(l *list) *list { return l }
		}, (*suite[*list]).clones, "changes it"},
		"clone is another": {func(s *suite[*list]) { s.opts.Clone = func(*list) *list { return &list{} } }, (*suite[*list]).clones, "another value"},
		"into does nothing": {func(s *suite[*list]) {
			s.opts.Clone = clone
			s.opts.Into = func(dst, _ *list) (*list, error) { return dst, nil }
		}, (*suite[*list]).into, "than the merge"},
		"no clone, skipped": {func(*suite[*list]) {}, (*suite[*list]).clones, "does not apply"},
		"no into, skipped":  {func(*suite[*list]) {}, (*suite[*list]).into, "does not apply"},
	} {
		s := good()
		if err := c.check(s); err != nil && !errors.Is(err, errSkip) {
			t.Errorf("%s: the good one fails: %v", name, err)
		}
		c.change(s)
		if err := c.check(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %q", name, err, c.want)
		}
	}
	s := &suite[[]byte]{codec: raw{}, samples: [][]byte{{1, 2}, {3}}, opts: Options[[]byte]{Equal: slices.Equal[[]byte]}}
	if err := s.keepsNothing(); err == nil || !strings.Contains(err.Error(), "copy what it keeps") {
		t.Errorf("a decoder that keeps the blob: %v", err)
	}
}

func intoFirst(parts []*list) (*list, error) {
	for _, p := range parts[1:] {
		parts[0].Numbers = append(parts[0].Numbers, p.Numbers...)
		parts[0].sorted = []int{}
	}
	return parts[0], nil
}

// takesOver returns a sum that holds its first part, and writes to what a sum
// holds.
func takesOver(parts []*list) (*list, error) {
	if parts[0].sorted != nil {
		parts[0].Numbers[0]++
	}
	sum := &list{Numbers: []int{0}, sorted: []int{1}}
	if len(parts[0].Numbers) > 0 {
		sum.Numbers = parts[0].Numbers[:1]
	}
	return sum, nil
}

func inOrder(parts []*list) (*list, error) {
	sum := &list{}
	for _, p := range parts {
		sum.Numbers = append(sum.Numbers, p.Numbers...)
	}
	return sum, nil
}

// counted adds how many parts it merged.
func counted(parts []*list) (*list, error) {
	sum, err := mergeLists(parts)
	sum.Numbers = append(sum.Numbers, 100*len(parts))
	slices.Sort(sum.Numbers)
	return sum, err
}

func fails([]*list) (*list, error) { return nil, errors.New("broken") }
