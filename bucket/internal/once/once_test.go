package once

import (
	"fmt"
	"testing"
)

func TestIDsOfADifferentIDOrBlobDiffer(t *testing.T) {
	t.Parallel()
	seen := make(map[ID]string)
	for _, c := range []struct{ id, blob string }{{"a", ""}, {"a", "b"}, {"ab", ""}, {"", "ab"}, {"b", "a"}, {"aa", "b"}} {
		id := IDOf(c.id, []byte(c.blob))
		if twin, ok := seen[id]; ok {
			t.Errorf("%q and %q have one ID", c, twin)
		}
		seen[id] = c.id + "|" + c.blob
		if again := IDOf(c.id, []byte(c.blob)); again != id {
			t.Errorf("%q has two IDs", c)
		}
	}
}

func TestIDsExpireAndAreBounded(t *testing.T) {
	t.Parallel()
	var ids IDs
	id := func(i int) ID { return IDOf(fmt.Sprint(i), nil) }
	for i := range Max + 10 {
		ids.Add(id(i), int64(i))
	}
	for i, want := range map[int]bool{9: false, 10: true, Max + 9: true} {
		if ids.Has(id(i)) != want {
			t.Errorf("id %d of %d: %v", i, Max+10, !want)
		}
	}
	ids.Expire(Max + 8)
	if ids.Has(id(Max+8)) || !ids.Has(id(Max+9)) || len(ids.seen) != 1 {
		t.Errorf("%d ids are left, want the last", len(ids.seen))
	}
	ids.Expire(Max + 9)
	if !ids.Empty() || ids.seen != nil {
		t.Error("what expired is kept")
	}
}
