package indextest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// RunVersions checks that an index which is an index.Versioned keeps that interface's
// promises for Put, Delete and SwapPlace, as far as the index offers them. Open returns
// an empty index.
func RunVersions(t *testing.T, open func(t *testing.T) index.Index) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, index.Index, index.Versioned){
		"every write changes the version of its row": versionOfWrites,
		"what was read stays as long as the version": versionOfReads,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := open(t)
			versioned, ok := x.(index.Versioned)
			if !ok {
				t.Skip("SKIP: the index does not count its writes")
			}
			check(t, x, versioned)
		})
	}
}

const anHour = int64(time.Hour)

// versionOfWrites writes in hour 2, and looks at ranges with and without it.
func versionOfWrites(t *testing.T, x index.Index, v index.Versioned) {
	look := func(tenant string, from, to int64) uint64 {
		t.Helper()
		version, ok := v.Version(tenant, from, to)
		if !ok {
			t.Fatal("the index says that a write is under way")
		}
		return version
	}
	e := index.Entry{Time: 2 * anHour, Key: "k"}
	row := index.RowAt("a", e.Time)
	writes := map[string]func() error{"put": func() error { return x.Put(t.Context(), row, e) }}
	if places, ok := x.(index.Places); ok {
		writes["swap"] = func() error {
			set := index.PlaceSet{Tenant: "a", Level: 24 * time.Hour}
			swapped, err := places.SwapPlace(t.Context(), set, "", index.Place{Start: e.Time, ID: rand.Text()})
			if !swapped && err == nil {
				err = errors.New("the place was not empty")
			}
			return err
		}
	}
	if deleter, ok := x.(index.Deleter); ok {
		writes["delete"] = func() error { return deleter.Delete(t.Context(), row, []index.Entry{e}) }
	}
	for _, name := range []string{"put", "swap", "delete"} {
		write, ok := writes[name]
		if !ok {
			continue
		}
		touched := []uint64{look("a", 0, 3*anHour), look("a", 2*anHour+5, 2*anHour+6), look("a", 0, 1<<62)}
		others := []uint64{look("a", 0, 2*anHour), look("a", 3*anHour, 9*anHour), look("b", 0, 9*anHour), look("a", 5, 5)}
		if err := write(); err != nil {
			t.Fatal(name, err)
		}
		for i, now := range []uint64{look("a", 0, 3*anHour), look("a", 2*anHour+5, 2*anHour+6), look("a", 0, 1<<62)} {
			if now == touched[i] {
				t.Errorf("%s: range %d still has version %d", name, i, now)
			}
		}
		if now := []uint64{look("a", 0, 2*anHour), look("a", 3*anHour, 9*anHour), look("b", 0, 9*anHour), look("a", 5, 5)}; !slices.Equal(now, others) {
			t.Errorf("%s: versions of other rows %d, before %d", name, now, others)
		}
	}
}

// versionOfReads reads twice between two looks at the version, while others write. When
// the version is the same, both reads must be.
func versionOfReads(t *testing.T, x index.Index, v index.Versioned) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for w := range 2 {
		writers.Go(func() { writeUntil(ctx, t, x, w) })
	}
	for same, tries := 0, 0; same < 200 && tries < 200_000; tries++ {
		before, ok := v.Version("a", 0, 2*anHour)
		if !ok {
			continue
		}
		first := everything(t, x)
		if now, ok := v.Version("a", 0, 2*anHour); !ok || now != before {
			continue
		}
		second := everything(t, x)
		if now, ok := v.Version("a", 0, 2*anHour); !ok || now != before {
			continue
		}
		if same++; first != second {
			t.Fatalf("at version %d the index held\n%s\nand\n%s", before, first, second)
		}
	}
}

// writeUntil puts and deletes entries, and swaps a place, until ctx ends.
func writeUntil(ctx context.Context, t *testing.T, x index.Index, w int) {
	deleter, _ := x.(index.Deleter)
	places, _ := x.(index.Places)
	set, last := index.PlaceSet{Tenant: "a", Level: time.Duration(w+1) * time.Minute}, ""
	for n := 0; ctx.Err() == nil; n++ {
		e := index.Entry{Time: int64(n%2)*anHour + int64(2*(n%7)+w), Key: fmt.Sprint(w)}
		row := index.RowAt("a", e.Time)
		err := x.Put(context.WithoutCancel(ctx), row, e)
		if errors.Is(err, index.ErrExists) && deleter != nil {
			err = deleter.Delete(context.WithoutCancel(ctx), row, []index.Entry{e})
		}
		if err == nil && places != nil {
			next := rand.Text()
			_, err = places.SwapPlace(context.WithoutCancel(ctx), set, last, index.Place{Start: 0, ID: next})
			last = next
		}
		if err != nil && !errors.Is(err, index.ErrExists) {
			t.Error(err)
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// everything returns what tenant "a" has in two hours.
func everything(t *testing.T, x index.Index) string {
	t.Helper()
	var all []any
	for _, hour := range []int64{0, 1} {
		entries, err := x.Query(t.Context(), index.Row{Tenant: "a", Hour: hour}, 0, 2*anHour)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entries)
	}
	if places, ok := x.(index.Places); ok {
		for level := range time.Duration(2) {
			found, err := places.Places(t.Context(), index.PlaceSet{Tenant: "a", Level: (level + 1) * time.Minute}, 0, 2*anHour)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, found)
		}
	}
	return fmt.Sprint(all)
}
