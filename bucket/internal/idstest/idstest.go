// Package idstest holds the values of tests: multisets, so that a value which is lost or counted twice shows.
package idstest

import (
	"encoding/json"
	"slices"
)

// IDs is a multiset.
type IDs []int

// Codec writes IDs as JSON.
type Codec struct{}

// Encode implements tiered.Codec.
func (Codec) Encode(v IDs) ([]byte, error) { return json.Marshal(v) }

// Decode implements tiered.Codec.
func (Codec) Decode(blob []byte) (v IDs, err error) { return v, json.Unmarshal(blob, &v) }

// Merge returns all of parts, sorted.
func Merge(parts []IDs) (IDs, error) {
	all := slices.Concat(parts...)
	slices.Sort(all)
	return all, nil
}
