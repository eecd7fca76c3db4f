// Package codectest checks a codec and a merge function of a type before the
// type is stored: whether they keep the promises that packages tiered and bucket
// rely on. Run it under the race detector too.
package codectest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/timeblob/timeblob/tiered"
)

// Options say how values are compared, and which optional functions to check;
// nil means the defaults.
type Options[T any] struct {
	// Equal reports whether two values mean the same. Default
	// reflect.DeepEqual, which is too strict for values that a merge may
	// order, round or lay out differently.
	Equal func(a, b T) bool
	// Clone and Into are the functions of bucket.CollectorOptions; nil where
	// they are not used.
	Clone func(T) T
	Into  func(dst, src T) (T, error)
}

// maxSamples is how many samples the laws of the merge are checked with: each
// needs every triple of them.
const maxSamples = 6

// Run checks a codec and a merge function with samples, which must be at least
// two. It checks that encoding, merging and cloning change nothing that they
// were given, also while others read it, that decoding undoes encoding and keeps
// no part of the blob, that a blob stays as it is when another value is encoded, and
// that the merge is associative and commutative. Functions that panic fail their
// check. A check that does not apply is skipped and says why.
func Run[T any](t *testing.T, codec tiered.Codec[T], merge func([]T) (T, error), samples []T, opts *Options[T]) {
	t.Helper()
	if len(samples) < 2 {
		t.Fatal("codectest: needs at least two samples")
	}
	s := &suite[T]{codec: codec, merge: merge, samples: samples}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Equal == nil {
		s.opts.Equal = func(a, b T) bool { return reflect.DeepEqual(a, b) }
	}
	for _, c := range s.checks() {
		t.Run(c.name, func(t *testing.T) {
			err := guarded(c.check)
			if errors.Is(err, errSkip) {
				t.Skipf("SKIP: %v", err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// guarded calls a check. A panic of the user's functions is an error.
func guarded(check func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panics: %v\n%s", p, debug.Stack())
		}
	}()
	return check()
}

// errSkip is wrapped by a check that does not apply.
var errSkip = errors.New("does not apply")

type suite[T any] struct {
	codec   tiered.Codec[T]
	merge   func([]T) (T, error)
	samples []T
	opts    Options[T]
}

type check struct {
	name  string
	check func() error
}

func (s *suite[T]) checks() []check {
	return []check{
		{"decoding undoes encoding", s.roundTrip},
		{"a blob belongs to its caller", s.blobsApart},
		{"decoding keeps no part of the blob", s.keepsNothing},
		{"decoding refuses damaged blobs without a panic", s.damagedBlobs},
		{"encoding changes nothing", s.encodingChangesNothing},
		{"merging changes nothing", s.mergingChangesNothing},
		{"values may be read at the same time", s.readTogether},
		{"the merge is commutative", s.commutes},
		{"the merge is associative", s.associates},
		{"merges can be stored", s.mergesRoundTrip},
		{"clones share nothing that is written", s.clones},
		{"Into is the merge", s.into},
	}
}

func (s *suite[T]) roundTrip() error {
	for i, v := range s.samples {
		again, err := s.reencode(v)
		if err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
		if !s.opts.Equal(v, again) {
			return fmt.Errorf("sample %d: decoding its blob makes another value", i)
		}
	}
	return nil
}

// reencode returns what a store would make of a value.
func (s *suite[T]) reencode(v T) (again T, err error) {
	blob, err := s.codec.Encode(v)
	if err != nil {
		return again, fmt.Errorf("encode: %w", err)
	}
	if again, err = s.codec.Decode(blob); err != nil {
		return again, fmt.Errorf("decode a blob of %d bytes that Encode made: %w", len(blob), err)
	}
	return again, nil
}

// blobsApart keeps each blob while the other values are encoded.
func (s *suite[T]) blobsApart() error {
	for i, v := range s.samples {
		blob, err := s.codec.Encode(v)
		if err != nil {
			return fmt.Errorf("sample %d: encode: %w", i, err)
		}
		before := bytes.Clone(blob)
		for j, other := range s.samples {
			if _, err := s.codec.Encode(other); err != nil {
				return fmt.Errorf("sample %d: encode: %w", j, err)
			}
			if !bytes.Equal(blob, before) {
				return fmt.Errorf("encoding sample %d changes the blob of sample %d: Encode must not use again the memory that it returned", j, i)
			}
		}
	}
	return nil
}

func (s *suite[T]) keepsNothing() error {
	for i, v := range s.samples {
		blob, err := s.codec.Encode(v)
		if err != nil {
			return fmt.Errorf("sample %d: encode: %w", i, err)
		}
		blob = bytes.Clone(blob)
		decoded, err := s.codec.Decode(blob)
		if err != nil {
			return fmt.Errorf("sample %d: decode: %w", i, err)
		}
		before := imprint(decoded)
		for at := range blob {
			blob[at] ^= 0xff
		}
		if imprint(decoded) != before {
			return fmt.Errorf("sample %d: the decoded value changes with the blob: Decode must copy what it keeps", i)
		}
	}
	return nil
}

// damagedBlobs decodes blobs that were cut, and blobs with a wrong byte. Decode may take
// them, because some formats cannot tell.
func (s *suite[T]) damagedBlobs() error {
	for i, v := range s.samples {
		blob, err := s.codec.Encode(v)
		if err != nil {
			return fmt.Errorf("sample %d: encode: %w", i, err)
		}
		for n := 0; n < len(blob); n += max(1, len(blob)/64) {
			for what, damage := range map[string]func(b []byte) []byte{
				"cut":          func(b []byte) []byte { return b[:n] },
				"a wrong bit":  func(b []byte) []byte { b[n] ^= 1; return b },
				"a wrong byte": func(b []byte) []byte { b[n] ^= 0xff; return b },
			} {
				if err := guarded(func() error { _, _ = s.codec.Decode(damage(bytes.Clone(blob))); return nil }); err != nil {
					return fmt.Errorf("sample %d: decoding its blob with damage at byte %d (%s) %w", i, n, what, err)
				}
			}
		}
	}
	return nil
}

func (s *suite[T]) encodingChangesNothing() error {
	for i, v := range s.samples {
		before := imprint(v)
		if _, err := s.codec.Encode(v); err != nil {
			return fmt.Errorf("sample %d: encode: %w", i, err)
		}
		if imprint(v) != before && s.opts.Clone == nil {
			return fmt.Errorf("sample %d: Encode changes the value, which readers share: set CollectorOptions.Clone", i)
		}
	}
	return nil
}

func (s *suite[T]) mergingChangesNothing() error {
	for i := range s.samples {
		a, b := s.samples[i], s.samples[(i+1)%len(s.samples)]
		before := [2]uint64{imprint(a), imprint(b)}
		sum, err := s.merge([]T{a, b})
		if err != nil {
			return fmt.Errorf("merge of samples %d and %d: %w", i, (i+1)%len(s.samples), err)
		}
		if [2]uint64{imprint(a), imprint(b)} != before {
			return fmt.Errorf("the merge of samples %d and %d changes them", i, (i+1)%len(s.samples))
		}
		if _, err := s.merge([]T{sum, a}); err != nil {
			return fmt.Errorf("merge of a merge and sample %d: %w", i, err)
		}
		if [2]uint64{imprint(a), imprint(b)} != before {
			return fmt.Errorf("a later merge changes samples %d or %d, which an earlier one took over", i, (i+1)%len(s.samples))
		}
	}
	return nil
}

// readTogether encodes and merges values in several goroutines, for the race
// detector to see writes.
func (s *suite[T]) readTogether() error {
	var readers sync.WaitGroup
	errs := make([]error, 4)
	for r := range errs {
		readers.Go(func() {
			errs[r] = guarded(s.readAll)
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}

// readAll encodes and merges all samples.
func (s *suite[T]) readAll() (errs error) {
	for _, v := range s.samples {
		if s.opts.Clone != nil {
			v = s.opts.Clone(v)
		}
		_, err := s.codec.Encode(v)
		errs = errors.Join(errs, err)
	}
	_, err := s.merge(slices.Clone(s.samples))
	return errors.Join(errs, err)
}

// few returns the samples that laws are checked with.
func (s *suite[T]) few() []T { return s.samples[:min(len(s.samples), maxSamples)] }

func (s *suite[T]) commutes() error {
	for i, a := range s.few() {
		for j, b := range s.few() {
			ab, err1 := s.merge([]T{a, b})
			ba, err2 := s.merge([]T{b, a})
			if err := errors.Join(err1, err2); err != nil {
				return fmt.Errorf("merge of samples %d and %d: %w", i, j, err)
			}
			if !s.opts.Equal(ab, ba) {
				return fmt.Errorf("samples %d and %d: the order of the merge matters", i, j)
			}
		}
	}
	return nil
}

func (s *suite[T]) associates() error {
	for i, a := range s.few() {
		for j, b := range s.few() {
			for k, c := range s.few() {
				if err := s.associate(a, b, c); err != nil {
					return fmt.Errorf("samples %d, %d and %d: %w", i, j, k, err)
				}
			}
		}
	}
	return nil
}

func (s *suite[T]) associate(a, b, c T) error {
	ab, err1 := s.merge([]T{a, b})
	bc, err2 := s.merge([]T{b, c})
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	left, err1 := s.merge([]T{ab, c})
	right, err2 := s.merge([]T{a, bc})
	flat, err3 := s.merge([]T{a, b, c})
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if !s.opts.Equal(left, right) || !s.opts.Equal(left, flat) {
		return errors.New("the grouping of the merge matters")
	}
	return nil
}

func (s *suite[T]) mergesRoundTrip() error {
	sum, err := s.merge(slices.Clone(s.samples))
	if err != nil {
		return fmt.Errorf("merge of all samples: %w", err)
	}
	again, err := s.reencode(sum)
	if err != nil {
		return fmt.Errorf("the merge of all samples: %w", err)
	}
	if !s.opts.Equal(sum, again) {
		return errors.New("the merge of all samples: decoding its blob makes another value")
	}
	return nil
}

func (s *suite[T]) clones() error {
	if s.opts.Clone == nil {
		return fmt.Errorf("%w: there is no Clone", errSkip)
	}
	for i, v := range s.samples {
		before := imprint(v)
		clone := s.opts.Clone(v)
		if !s.opts.Equal(v, clone) {
			return fmt.Errorf("sample %d: its clone is another value", i)
		}
		if _, err := s.codec.Encode(clone); err != nil {
			return fmt.Errorf("sample %d: encode a clone: %w", i, err)
		}
		if imprint(v) != before {
			return fmt.Errorf("sample %d: cloning it, or encoding its clone, changes it", i)
		}
	}
	return nil
}

func (s *suite[T]) into() error {
	if s.opts.Into == nil || s.opts.Clone == nil {
		return fmt.Errorf("%w: there is no Into, or no Clone", errSkip)
	}
	dst, want := s.opts.Clone(s.samples[0]), s.samples[0]
	var prints []uint64
	for _, v := range s.samples {
		prints = append(prints, imprint(v))
	}
	for i, src := range s.samples {
		var err1, err2 error
		dst, err1 = s.opts.Into(dst, src)
		want, err2 = s.merge([]T{want, src})
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
		if !s.opts.Equal(dst, want) {
			return fmt.Errorf("sample %d: Into makes another value than the merge", i)
		}
	}
	for i, v := range s.samples {
		if imprint(v) != prints[i] {
			return fmt.Errorf("sample %d: Into changes it, or keeps its memory", i)
		}
	}
	return nil
}
