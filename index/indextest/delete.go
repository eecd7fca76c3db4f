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

// deleter returns the index's Deleter, or skips the test.
func deleter(t *testing.T, x index.Index) index.Deleter {
	d, ok := x.(index.Deleter)
	if !ok {
		t.Skip("the index is no index.Deleter")
	}
	return d
}

// testDelete removes entries: these and no others, as often as it is asked.
func testDelete(t *testing.T, x index.Index) {
	d := deleter(t, x)
	row, other := rowOf("delete"), rowOf("delete.other")
	var instants []int64
	for i := range int64(60) {
		instants = append(instants, row.Start()+i*int64(time.Second))
	}
	all, others := fill(t, x, row, instants...), fill(t, x, other, instants...)
	gone := slices.Concat(all[:7], all[20:50])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Delete(ctx, row, nil); err != nil {
		t.Errorf("deletion of nothing: %v", err)
	}
	strangers := []index.Entry{
		{Time: all[10].Time, Key: "another/key"},        // the instant is taken by another key
		{Time: all[10].Time + 1, Key: all[10].Key},      // nothing has this instant
		{Time: row.End() - 1, Key: "never/put"},         // nor this one
		{Time: gone[3].Time, Key: gone[3].Key, Size: 9}, // the same entry: sizes do not tell entries apart
	}
	for _, entries := range [][]index.Entry{gone, strangers, gone} {
		if err := d.Delete(ctx, row, entries); err != nil {
			t.Fatalf("deletion of %d entries: %v", len(entries), err)
		}
		expectAll(t, x, row, slices.Concat(all[7:20], all[50:]))
		expectAll(t, x, other, others)
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := d.Delete(ended, row, all); !errors.Is(err, context.Canceled) {
		t.Errorf("deletion with a cancelled context: got error %v, want context.Canceled", err)
	}
}

// testDeleteFrees deletes entries at the same time from several sides and puts
// others in their instants.
func testDeleteFrees(t *testing.T, x index.Index) {
	d := deleter(t, x)
	row := rowOf("delete.frees")
	all := fill(t, x, row, row.Start()+1, row.Start()+2, row.Start()+3)
	var deleting sync.WaitGroup
	for range 3 {
		deleting.Go(func() {
			if err := d.Delete(t.Context(), row, all); err != nil {
				t.Errorf("deletion beside others: %v", err)
			}
		})
	}
	deleting.Wait()
	expectAll(t, x, row, nil)
	for i := range all {
		all[i].Key = "fresh/" + all[i].Key
		put(t, x, row, all[i])
	}
	expectAll(t, x, row, all)
}

// testTenants lists tenants while other tests put entries of theirs.
func testTenants(t *testing.T, x index.Index) {
	lister, ok := x.(index.TenantLister)
	if !ok {
		t.Skip("the index is no index.TenantLister")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	want := []string{"", "t.list", "t.list-", "t.list-472222", "t.list.empty"}
	for _, tenant := range want {
		for _, hour := range []int64{-9, 9, 472299} {
			row := index.Row{Tenant: tenant, Hour: hour}
			fill(t, x, row, row.Start()+int64(len(tenant)), row.Start()+777)
		}
	}
	d, deletes := x.(index.Deleter)
	if deletes {
		want = want[:4]
		for _, hour := range []int64{-9, 9, 472299} {
			row := index.Row{Tenant: "t.list.empty", Hour: hour}
			if err := d.Delete(ctx, row, query(t, x, row, row.Start(), row.End())); err != nil {
				t.Fatal(err)
			}
		}
	}
	if places, ok := x.(index.Places); ok { // a tenant whose entries are gone has these left
		state := func(kind string) []byte { return fmt.Appendf(nil, `{"kind":"seal",%q:"rollup/60/k"}`, kind) }
		for i, tenant := range []string{"t.list.rolled", "t.list-", "t.list.empty"} {
			set, key := index.PlaceSet{Tenant: tenant, Level: time.Hour}, [...]string{"key", "key", "old"}[i]
			swap(t, places, set, "", index.Place{Start: 0, ID: rand.Text(), State: state("was")}, true)
			swap(t, places, set, "", index.Place{Start: int64(time.Hour), ID: rand.Text(), State: state(key)}, true)
		}
		want = append(want, "t.list.rolled")
	}
	checkListed(t, listTenants(ctx, t, lister), want, deletes)
	cancel()
	for tenant, err := range lister.Tenants(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("list of tenants under a cancelled context: got %q and error %v", tenant, err)
		}
	}
}

func listTenants(ctx context.Context, t *testing.T, lister index.TenantLister) (all []string) {
	for tenant, err := range lister.Tenants(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tenant)
	}
	return all
}

// checkListed fails unless got holds each of want once, nothing twice, and of
// a tenant that was deleted nothing.
func checkListed(t *testing.T, got, want []string, deletes bool) {
	t.Helper()
	slices.Sort(got)
	if n := len(got); len(slices.Compact(slices.Clone(got))) != n {
		t.Errorf("a tenant was listed twice: %q", got)
	}
	for _, tenant := range want {
		if !slices.Contains(got, tenant) {
			t.Errorf("tenant %q was not listed: %q", tenant, got)
		}
	}
	if deletes && slices.Contains(got, "t.list.empty") {
		t.Error("a tenant was listed whose entries are all deleted")
	}
}
