package report

import (
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// Latest is a value with the instant at which it was seen. In a merge the newer
// value wins.
type Latest struct {
	Key       string
	Timestamp Instant
	Value     string
}

// Values are the latest values of a node, in the order of their keys. The zero
// Values are none. Values cannot be changed.
//
// Nodes of one kind mostly have the same keys. The values that a decoder or a merge
// makes share their list of keys, so they take 32 bytes each and not 48, and two
// lists of keys are compared by their addresses.
type Values struct {
	keys *Keys
	list []Stamped // one for each key

	// The first and the last second in which a value was seen. If the oldest value of a
	// list is later than the newest value of another list, nobody has to read the lists.
	oldest, newest second
}

// Keys is a list of keys that any number of [Values] share. It cannot be changed.
type Keys struct{ names []string }

// Stamped is a value without its key.
type Stamped struct {
	Timestamp Instant
	Value     string
}

// KeysOf returns a list of keys. The caller must not change names afterwards.
func KeysOf(names []string) *Keys { return &Keys{names} }

// Names returns the keys. The slice is shared: nobody may change it. Nil keys have no
// names.
func (k *Keys) Names() []string {
	if k == nil {
		return nil
	}
	return k.names
}

// ValuesOf returns the given values. They should be sorted by Key, and hold each key
// once: merging needs that, and [Validate] checks it.
func ValuesOf(list ...Latest) Values {
	names, stamped := make([]string, len(list)), make([]Stamped, len(list))
	for i, l := range list {
		names[i], stamped[i] = l.Key, Stamped{l.Timestamp, l.Value}
	}
	return ValuesUnder(KeysOf(names), stamped)
}

// ValuesUnder returns a value for each key of a list. The caller must not change list
// afterwards. It panics if there are more or fewer values than keys.
func ValuesUnder(keys *Keys, list []Stamped) Values {
	if len(keys.Names()) != len(list) {
		panic("report.ValuesUnder: the number of values is not the number of keys")
	}
	if len(list) == 0 {
		return Values{}
	}
	oldest, newest := list[0].Timestamp.Seconds, list[0].Timestamp.Seconds
	for i := range list {
		oldest, newest = min(oldest, list[i].Timestamp.Seconds), max(newest, list[i].Timestamp.Seconds)
	}
	return Values{keys, list, secondOf(oldest), secondOf(newest)}
}

// A second counts from the beginning of 1970 to the year 2106. Earlier instants are in
// the first second, later ones in the last.
type second uint32

// secondOf returns the second of an instant with these Seconds.
func secondOf(seconds int64) second {
	return second(min(max(seconds, -yearOne)+yearOne, math.MaxUint32))
}

// Len returns how many values there are.
func (v Values) Len() int { return len(v.list) }

// At returns the value with an index from 0 to Len - 1.
func (v Values) At(i int) Latest {
	return Latest{v.keys.names[i], v.list[i].Timestamp, v.list[i].Value}
}

// All yields the values in the order of their keys.
func (v Values) All() iter.Seq[Latest] {
	return func(yield func(Latest) bool) {
		for i := range v.list {
			if !yield(v.At(i)) {
				return
			}
		}
	}
}

// Of returns the value under a key, and whether there is one.
func (v Values) Of(key string) (Latest, bool) {
	i, ok := slices.BinarySearchFunc(v.keys.Names(), key, strings.Compare)
	if !ok {
		return Latest{}, false
	}
	return v.At(i), true
}

// Keys returns the list of keys, nil if there are none.
func (v Values) Keys() *Keys { return v.keys }

// Stamped returns the values without their keys. The slice is shared: nobody may
// change it.
func (v Values) Stamped() []Stamped { return v.list }

// Equal reports whether the keys, the instants and the values are equal.
func (v Values) Equal(other Values) bool {
	return sameKeys(v.keys, other.keys) && slices.Equal(v.list, other.list)
}

// MarshalJSON writes the values as a list of [Latest]. Scope's JSON is written by
// package wire.
func (v Values) MarshalJSON() ([]byte, error) { return json.Marshal(slices.Collect(v.All())) }

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Values) UnmarshalJSON(text []byte) error {
	var list []Latest
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*v = ValuesOf(list...)
	return nil
}

// sameKeys reports whether two lists hold the same keys.
func sameKeys(a, b *Keys) bool { return a == b || sorted.Equal(a.Names(), b.Names()) }
