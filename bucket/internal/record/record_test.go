package record

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/timeblob/timeblob/internal/alloctest"
)

// TestGoldenBytes freezes the formats.
func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	a := Arrived{Tenant: "acme", Time: 1, HasAt: true, At: 2, HasID: true, ID: [16]byte{1, 15: 2}}
	if got := hex.EncodeToString(a.Encode()); got != "01030461636d650100000000000000020000000000000001000000000000000000000000000002" {
		t.Error("arrived:", got)
	}
	s := Sealed{Tenant: "acme", Time: 3, Key: "k/3", Sum: [16]byte{9}, Members: []uint64{300, 301, 7}}
	if got := hex.EncodeToString(s.Encode()); got != "010461636d650300000000000000036b2f330900000000000000000000000000000003d80402cb04" {
		t.Error("sealed:", got)
	}
	if got, err := DecodeArrived(a.Encode()); err != nil || got != a {
		t.Errorf("arrived: %+v, %v", got, err)
	}
	if got, err := DecodeSealed(s.Encode()); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("sealed: %+v, %v", got, err)
	}
}

// TestCutRecords decodes every beginning of a record, and a byte too many.
func TestCutRecords(t *testing.T) {
	t.Parallel()
	a := (&Arrived{Tenant: "acme", HasAt: true, HasID: true}).Encode()
	for n := range a {
		if _, err := DecodeArrived(a[:n]); err == nil {
			t.Errorf("arrived, cut to %d of %d bytes: taken", n, len(a))
		}
	}
	s := (&Sealed{Tenant: "acme", Key: "k", Members: []uint64{1, 2}}).Encode()
	for n := range s {
		if _, err := DecodeSealed(s[:n]); err == nil {
			t.Errorf("sealed, cut to %d of %d bytes: taken", n, len(s))
		}
	}
	if _, err := DecodeSealed(append(s, 0)); err == nil {
		t.Error("a byte too many: taken")
	}
	if _, err := DecodeArrived(append([]byte{2}, a[1:]...)); err == nil {
		t.Error("another version: taken")
	}
}

// TestLostMembersAreTold leaves out a record that a sealed one names.
func TestLostMembersAreTold(t *testing.T) {
	t.Parallel()
	var r Replay
	r.Visit(2, KindArrived, (&Arrived{Tenant: "a"}).Encode(), 1, false)
	r.Visit(3, KindSealed, (&Sealed{Tenant: "a", Key: "k", Members: []uint64{1, 2}}).Encode(), 0, false)
	r.Visit(4, 77, nil, 0, false)
	todo := r.Resolve(Limits{Tick: 1, Bytes: 1, Window: 1})
	if len(todo.Damage) != 2 || len(todo.Values) != 1 || !reflect.DeepEqual(todo.Values[0].Members, []uint64{2}) {
		t.Errorf("%+v", todo)
	}
}

// TestInstantsOfAReplay: what came within a window ends its tick now, older values keep their time.
func TestInstantsOfAReplay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ now, want int64 }{
		{5, 5}, {109, 109}, {110, 13}, {1000, 13}, // seen lately, and long ago
		{2, 10}, // the clock was set back
	} {
		var r Replay
		r.Visit(1, KindArrived, (&Arrived{Tenant: "a", Time: 3}).Encode(), 1, false)
		r.Visit(2, KindArrived, (&Arrived{Tenant: "a", Time: 10}).Encode(), 1, false)
		todo := r.Resolve(Limits{Tick: 10, Bytes: 99, Window: 100, Now: c.now})
		want := max(c.want, 10)
		if len(todo.Values) != 1 || todo.Values[0].Time != want || todo.Values[0].Latest != 10 {
			t.Errorf("at %d: %+v, want the instant %d", c.now, todo.Values, want)
		}
	}
}

// FuzzRecords decodes any bytes as both kinds of records. What decodes comes back the same, and memory follows the input.
func FuzzRecords(f *testing.F) {
	f.Add((&Arrived{Tenant: "acme", Time: 1, HasAt: true, At: 2, HasID: true, ID: [16]byte{1, 15: 2}}).Encode())
	f.Add((&Sealed{Tenant: "acme", Time: 3, Key: "k/3", Sum: [16]byte{9}, Members: []uint64{300, 301, 7}}).Encode())
	f.Add([]byte("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	f.Fuzz(func(t *testing.T, meta []byte) {
		var a Arrived
		var s Sealed
		var notArrived, notSealed error
		alloctest.Bounded(t, "two records", int64(len(meta)), 64<<10, func() {
			a, notArrived = DecodeArrived(meta)
			s, notSealed = DecodeSealed(meta)
		})
		if back, err := DecodeArrived(a.Encode()); notArrived == nil && (err != nil || back != a) {
			t.Errorf("arrived: %+v, then %+v, %v", a, back, err)
		}
		if back, err := DecodeSealed(s.Encode()); notSealed == nil && (err != nil || !reflect.DeepEqual(back, s)) {
			t.Errorf("sealed: %+v, then %+v, %v", s, back, err)
		}
	})
}
