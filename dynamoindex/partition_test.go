package dynamoindex_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/httpfault"
	"github.com/timeblob/timeblob/internal/servertest"
)

func spread(n int) *dynamoindex.Options {
	opts := patient()
	opts.Partitions = n
	return opts
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, spread(8))
		e := entries(someRow, 80)
		for _, scopes := range e[:5] {
			write(t, endpoint, table, scopeItem(someRow, scopes))
		}
		put(t, x, someRow, e[5:]...)
		expect(t, x, someRow, e)
		expect(t, openIndex(t, endpoint, table, spread(64)), someRow, e) // readers may be ahead

		perKey := keys(t, endpoint, table)
		for p := range 8 {
			key := someRow.Key()
			if p > 0 {
				key = fmt.Sprintf("%s#%d", key, p)
			}
			if n := perKey[key]; n < 2 || n > 30 {
				t.Errorf("%d of 80 entries under %q", n, key)
			}
		}
		if len(perKey) != 8 {
			t.Errorf("%d keys, want 8: %v", len(perKey), perKey)
		}
		twin := openIndex(t, endpoint, table, spread(8))
		for _, taken := range e[5:15] {
			if err := twin.Put(t.Context(), someRow, taken); !errors.Is(err, index.ErrExists) {
				t.Errorf("another writer's put of a taken instant: got error %v, want ErrExists", err)
			}
		}
	})
}

// keys counts a table's entries by partition key.
func keys(t *testing.T, endpoint, table string) map[string]int {
	n := make(map[string]int)
	for _, i := range read(t, endpoint, table) {
		hour, ok := i["hour"].(*types.AttributeValueMemberS)
		if !ok {
			t.Fatalf("item %v has no hour", i)
		}
		if hour.Value != "#partitions" {
			n[hour.Value]++
		}
	}
	return n
}

// TestOneInstantInTwoPartitions: Scope writes to the first partition only.
func TestOneInstantInTwoPartitions(t *testing.T) {
	t.Parallel()
	endpoint := servertest.SharedDynalite(t)
	x, table := fresh(t, endpoint, spread(4))
	e := entries(someRow, 16)
	put(t, x, someRow, e...)
	perKey := keys(t, endpoint, table)
	for _, same := range e {
		write(t, endpoint, table, scopeItem(someRow, same))
	}
	if after := keys(t, endpoint, table); after[someRow.Key()] != len(e) || perKey[someRow.Key()] == len(e) {
		t.Fatalf("no instant is in two partitions: %v", after)
	}
	expect(t, x, someRow, e)

	other := index.Entry{Time: e[15].Time, Key: "other"}
	write(t, endpoint, table, item{"hour": text(someRow.Key() + "#2"), "ts": number(other.Time), "report": text(other.Key)})
	write(t, endpoint, table, scopeItem(someRow, e[15]))
	got, err := x.Query(t.Context(), someRow, e[15].Time, e[15].Time+1)
	want := []index.Entry{e[15], other}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v and error %v, want %v", got, err, want)
	}
}

// TestOnePartitionFails: none of the others is taken for the whole row.
func TestOnePartitionFails(t *testing.T) {
	t.Parallel()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), spread(6))
	put(t, x, someRow, entries(someRow, 20)...)
	failed := transport.Inject(httpfault.Fault{Status: 403, Body: `{"__type":"AccessDeniedException"}`, Times: 1})
	got, err := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
	if got != nil || err == nil || !strings.Contains(err.Error(), "AccessDenied") || failed.Hit() != 1 {
		t.Errorf("got %d entries and error %v, want the refusal", len(got), err)
	}
}
