package profiles

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
)

// Labels tell one series from the others, such as service=checkout, type=cpu.
type Labels map[string]string

// ID returns the tenant under which the series' profiles are stored: 32 hex digits
// of a hash of the labels. Equal labels have equal ids.
func (l Labels) ID() string {
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(l)) {
		_ = json.NewEncoder(hash).Encode([2]string{name, l[name]}) // a hash and strings do not fail
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// matches reports whether l has every label of want.
func (l Labels) matches(want Labels) bool {
	for name, value := range want {
		if l[name] != value {
			return false
		}
	}
	return true
}

// catalogue holds the labels of the series of a time, by their ids. Its merge is
// the union, so that a catalogue is a value over time like any other.
type catalogue map[string]Labels

func union(parts []catalogue) (catalogue, error) {
	all := catalogue{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all, nil
}

// catalogueCodec stores catalogues as JSON.
type catalogueCodec struct{}

func (catalogueCodec) Encode(c catalogue) ([]byte, error) { return json.Marshal(c) }
func (catalogueCodec) Decode(blob []byte) (c catalogue, err error) {
	return c, json.Unmarshal(blob, &c)
}
