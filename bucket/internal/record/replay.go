package record

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Value is a value that the journal kept and that is not known to be in the
// index.
type Value struct {
	Tenant  string
	Time    int64    // its instant
	Members []uint64 // arrived records, in the order of their merge
	Latest  int64    // when the last of them arrived

	// The following are set when a sealed record names the value.
	Key   string   // empty without one
	Sum   [16]byte // of the blob that was to be stored
	Keys  []string // earlier keys, under which the value may be in the index too
	Seals []uint64 // the sealed records

	// Part says that the sealed record names other records too, which are done or belong to a
	// later one: the value is in the index as a whole, or was split. Place is where the sealed
	// record has its first member. No other part has the same.
	Part  bool
	Place int32
}

// Seen is an id that came with a value, done or not.
type Seen struct {
	Tenant string
	ID     [16]byte
	Time   int64
}

// Limits say how values that no sealed record names are put together.
type Limits struct {
	Tick   int64 // nanoseconds
	Bytes  int64 // of the blobs of one value
	Window int64 // nanoseconds in which the same id means the same value
	Now    int64 // the clock's time, Unix nanoseconds
}

// Replay collects a journal's records, in their order, and tells what is to be
// done about them. The zero value is empty.
type Replay struct {
	arrived map[uint64]*arrived
	sealed  []sealed
	damage  []error
}

type arrived struct {
	Arrived
	size int64
	done bool
	by   []int // places in sealed of the records that name it and are not done
	was  bool  // some sealed record names it, done or not
}

// seal returns the place of the sealed record that counts for a record, -1 for
// none.
func (a *arrived) seal() int {
	if len(a.by) == 0 {
		return -1
	}
	return a.by[len(a.by)-1]
}

// refused reports whether Add took the value back: it is done, and nothing was
// made of it.
func (a *arrived) refused() bool { return a.done && !a.was }

// waits reports whether nothing is made of the value yet.
func (a *arrived) waits() bool { return !a.done && a.seal() < 0 }

type sealed struct {
	Sealed
	id    uint64
	done  bool
	named bool // a value is named by it
}

// Visit takes a record. Size is the length of its blob.
func (r *Replay) Visit(id uint64, kind byte, meta []byte, size int64, done bool) {
	var err error
	switch kind {
	case KindArrived:
		var a Arrived
		if a, err = DecodeArrived(meta); err == nil {
			if r.arrived == nil {
				r.arrived = make(map[uint64]*arrived)
			}
			r.arrived[id] = &arrived{Arrived: a, size: size, done: done}
		}
	case KindSealed:
		var s Sealed
		if s, err = DecodeSealed(meta); err == nil {
			r.sealed = append(r.sealed, sealed{Sealed: s, id: id, done: done})
		}
	default:
		err = fmt.Errorf("kind %d is not known", kind)
	}
	if err != nil {
		r.damage = append(r.damage, fmt.Errorf("record %d: %w", id, err))
	}
}

// Todo is what is to be done about a journal's records.
type Todo struct {
	Values []Value  // to be delivered, ascending by instant
	IDs    []Seen   // to be remembered, in the order in which they came
	Ended  []uint64 // records that need nothing more
	Damage []error  // records that are lost or cannot be read
}

// Resolve tells what is to be done. Values that a sealed record names keep their
// instants and keys. Others are put together by tenant and time of arrival, see
// group.instant. Of values with the same id within a window, the first counts.
func (r *Replay) Resolve(l Limits) Todo {
	for i, s := range r.sealed {
		for _, id := range s.Members {
			a := r.arrived[id]
			if a == nil {
				continue
			}
			if a.was = true; !s.done {
				a.by = append(a.by, i)
			}
		}
	}
	var todo Todo
	todo.Values = r.resolveSealed()
	for _, s := range r.sealed {
		if !s.done && !s.named {
			todo.Ended = append(todo.Ended, s.id)
		}
	}
	groups := grouping{limits: l, open: make(map[string]*group)}
	for _, id := range r.resolveIDs(l.Window, &todo) {
		groups.add(id, r.arrived[id])
	}
	todo.Values = append(todo.Values, groups.all()...)
	todo.Damage = r.damage
	slices.SortStableFunc(todo.Values, func(a, b Value) int { return cmp.Compare(a.Time, b.Time) })
	spread(todo.Values)
	return todo
}

// spread gives the values of a tenant that have no key yet different instants, so that
// they do not take each other's. The values ascend by instant.
func spread(values []Value) {
	last := make(map[string]int64)
	for i := range values {
		v := &values[i]
		if before, ok := last[v.Tenant]; ok && v.Key == "" {
			v.Time = max(v.Time, before+1)
		}
		last[v.Tenant] = v.Time
	}
}

// resolveSealed returns the values of sealed records that are not done. The last
// record that names a member counts for it.
func (r *Replay) resolveSealed() (values []Value) {
	for i, s := range r.sealed {
		if s.done {
			continue
		}
		v := Value{Tenant: s.Tenant, Time: s.Time, Key: s.Key, Sum: s.Sum}
		for place, id := range s.Members {
			switch a := r.arrived[id]; {
			case a == nil:
				r.damage = append(r.damage, fmt.Errorf("record %d of tenant %q is lost: it was to be stored as %s", id, s.Tenant, s.Key))
			case a.seal() == i && !a.done:
				if len(v.Members) == 0 {
					v.Place = int32(place)
				}
				v.Members, v.Latest = append(v.Members, id), max(v.Latest, a.Time)
			default:
				v.Part = true
			}
		}
		if len(v.Members) > 0 {
			values = append(values, r.withSeals(v))
		}
	}
	return values
}

// withSeals adds the sealed records that name a value.
func (r *Replay) withSeals(v Value) Value {
	for _, i := range r.arrived[v.Members[0]].by {
		s := &r.sealed[i]
		s.named = true
		v.Seals = append(v.Seals, s.id)
		if s.Key != v.Key {
			v.Keys = append(v.Keys, s.Key)
		}
	}
	return v
}

// resolveIDs returns the records that nothing is made of yet, except
// repetitions of others. A refused value makes no other one a repetition.
func (r *Replay) resolveIDs(window int64, todo *Todo) (unsealed []uint64) {
	type name struct {
		tenant string
		id     [16]byte
	}
	first := make(map[name]int64)
	ids := slices.Sorted(maps.Keys(r.arrived))
	for _, id := range ids {
		if a := r.arrived[id]; a.HasID && a.was {
			first[name{a.Tenant, a.ID}] = a.Time
		}
	}
	for _, id := range ids {
		a := r.arrived[id]
		if a.refused() {
			continue
		}
		if a.HasID && !a.was {
			n := name{a.Tenant, a.ID}
			if t, ok := first[n]; ok && a.Time-t < window && t-a.Time < window {
				todo.Ended = append(todo.Ended, id)
				continue
			}
			first[n] = a.Time
		}
		if a.HasID {
			todo.IDs = append(todo.IDs, Seen{a.Tenant, a.ID, a.Time})
		}
		if a.waits() {
			unsealed = append(unsealed, id)
		}
	}
	return unsealed
}

// grouping puts values together of records that no sealed one names.
type grouping struct {
	limits Limits
	open   map[string]*group // by tenant
	values []Value
}

// group is a value that is being put together.
type group struct {
	Value
	begun, size int64
}

func (g *grouping) add(id uint64, a *arrived) {
	if a.HasAt {
		g.values = append(g.values, Value{Tenant: a.Tenant, Time: a.At, Members: []uint64{id}, Latest: a.Time})
		return
	}
	k := g.open[a.Tenant]
	if k != nil && !k.takes(a, g.limits) {
		g.values, k = append(g.values, k.Value), nil
	}
	if k == nil {
		k = &group{Value: Value{Tenant: a.Tenant}, begun: a.Time}
		g.open[a.Tenant] = k
	}
	k.Members, k.size, k.Latest = append(k.Members, id), k.size+a.size, max(k.Latest, a.Time)
	k.Time = k.instant(g.limits)
}

// instant returns the value's instant. The tick of a value that came within the last
// window ends now: a querier may have asked the process that was killed, and read the
// index after this one has stored the value. It doubts what it heard when it sees an
// entry from after its question, and so does not count the value twice. An older value
// keeps its time: it gets the latest instant at which its tick can have ended.
func (k *group) instant(l Limits) int64 {
	if l.Now-k.Latest < l.Window {
		return max(k.Latest, l.Now)
	}
	return k.begun + l.Tick
}

func (k *group) takes(a *arrived, l Limits) bool {
	return a.Time-k.begun < l.Tick && k.begun-a.Time < l.Tick && k.size+a.size <= l.Bytes
}

func (g *grouping) all() []Value {
	for _, tenant := range slices.Sorted(maps.Keys(g.open)) {
		g.values = append(g.values, g.open[tenant].Value)
	}
	return g.values
}
