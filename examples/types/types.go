// Package types makes common types values over time: HyperLogLog and DDSketch
// sketches, pprof profiles and plain counters. The test takes each through a live
// window, a store, a restart and a querier.
package types

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"
	"github.com/google/pprof/profile"
)

// Visitors is the codec of HyperLogLog sketches.
type Visitors struct{}

// Encode implements tiered.Codec. It writes to the sketch: set Clone.
func (Visitors) Encode(s *hyperloglog.Sketch) ([]byte, error) { return s.MarshalBinary() }

// Decode implements tiered.Codec.
func (Visitors) Decode(blob []byte) (*hyperloglog.Sketch, error) {
	s := &hyperloglog.Sketch{}
	return s, s.UnmarshalBinary(bytes.Clone(blob))
}

// MergeVisitors is the merge of sketches. It changes a clone of the first one.
func MergeVisitors(parts []*hyperloglog.Sketch) (*hyperloglog.Sketch, error) {
	merged := parts[0].Clone()
	for _, part := range parts[1:] {
		if _, err := IntoVisitors(merged, part); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// IntoVisitors merges src into dst. Sketch.Merge may write to its argument, so
// that it gets a clone.
func IntoVisitors(dst, src *hyperloglog.Sketch) (*hyperloglog.Sketch, error) {
	return dst, dst.Merge(src.Clone())
}

// Latencies is the codec of DDSketch sketches.
type Latencies struct{}

// Encode implements tiered.Codec. The default store sorts itself meanwhile: set
// Clone.
func (Latencies) Encode(s *ddsketch.DDSketch) (blob []byte, err error) {
	s.Encode(&blob, false)
	return blob, nil
}

// Decode implements tiered.Codec.
func (Latencies) Decode(blob []byte) (*ddsketch.DDSketch, error) {
	return ddsketch.DecodeDDSketch(blob, store.DefaultProvider, nil)
}

// MergeLatencies is the merge of sketches. MergeWith may write to its argument, so
// that every part is copied.
func MergeLatencies(parts []*ddsketch.DDSketch) (*ddsketch.DDSketch, error) {
	merged := parts[0].Copy()
	for _, part := range parts[1:] {
		if err := merged.MergeWith(part.Copy()); err != nil {
			return nil, err
		}
	}
	return merged, nil
}

// Profiles is the codec of pprof profiles.
type Profiles struct{}

// Encode implements tiered.Codec. Write keeps what it computes in the profile: set
// Clone.
func (Profiles) Encode(p *profile.Profile) ([]byte, error) {
	var blob bytes.Buffer
	err := p.Write(&blob)
	return blob.Bytes(), err
}

// Decode implements tiered.Codec.
func (Profiles) Decode(blob []byte) (*profile.Profile, error) { return profile.ParseData(blob) }

// CloneProfile returns a copy. It is a merge of one profile, which only reads it;
// Profile.Copy encodes the profile and so writes to it.
func CloneProfile(p *profile.Profile) *profile.Profile {
	clone, err := profile.Merge([]*profile.Profile{p})
	if err != nil {
		panic(err) // of a profile that contradicts itself; the library makes it an error of this value
	}
	clone.SampleType = slices.Clone(clone.SampleType) // which a merge shares with its parts
	for i, v := range clone.SampleType {
		clone.SampleType[i] = cloneType(v)
	}
	clone.PeriodType = cloneType(clone.PeriodType)
	return clone
}

func cloneType(v *profile.ValueType) *profile.ValueType {
	if v == nil {
		return nil
	}
	return &profile.ValueType{Type: v.Type, Unit: v.Unit}
}

// Counts are plain counters by name.
type Counts map[string]int

// Counters is the codec of Counts.
type Counters struct{}

// Encode implements tiered.Codec.
func (Counters) Encode(c Counts) ([]byte, error) { return json.Marshal(c) }

// Decode implements tiered.Codec.
func (Counters) Decode(blob []byte) (c Counts, err error) { return c, json.Unmarshal(blob, &c) }

// AddUp is the merge of Counts.
func AddUp(parts []Counts) (Counts, error) {
	sum := Counts{}
	for _, part := range parts {
		_, _ = IntoCounts(sum, part)
	}
	return sum, nil
}

// IntoCounts adds src to dst.
func IntoCounts(dst, src Counts) (Counts, error) {
	for name, n := range src {
		dst[name] += n
	}
	return dst, nil
}

// CloneCounts returns a copy.
func CloneCounts(c Counts) Counts { return maps.Clone(c) }
