package dynamoindex_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/internal/servertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		indextest.Run(t, func(t *testing.T) index.Index {
			x, _ := fresh(t, endpoint, nil)
			return x
		})
	})
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, _ := fresh(t, endpoint, nil)
		indextest.RunPlaces(t, func(t *testing.T) index.Index { return x })
	})
}

func TestGuard(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		indextest.RunGuard(t, func(t *testing.T) index.Index {
			x, _ := fresh(t, endpoint, nil)
			return x
		})
	})
}

// TestLostSwap loses the answer of a swap that took effect.
func TestLostSwap(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, transport, _ := faulty(t, endpoint, patient())
		set := index.PlaceSet{Tenant: "a", Level: time.Minute}
		for i, old := range []string{"", "id 0", "id 1"} {
			lost := transport.Inject(faulttest.Fault{Match: operation("PutItem"), Applied: true, Times: 1})
			next := index.Place{Start: 60e9, ID: fmt.Sprint("id ", i)}
			if ok, err := x.SwapPlace(t.Context(), set, old, next); !ok || err != nil || lost.Hit() != 1 {
				t.Errorf("swap %d: got %t and error %v after %d lost answers", i, ok, err, lost.Hit())
			}
			if ok, err := x.SwapPlace(t.Context(), set, old, index.Place{Start: 60e9, ID: "other"}); ok || err != nil {
				t.Errorf("a rival's swap after swap %d: got %t and error %v", i, ok, err)
			}
		}
	})
}

// TestPages reads rows of more than 1 MB, which Scope wrote.
func TestPages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, transport, table := faulty(t, endpoint, patient())
		want := longRow()
		items := make([]item, len(want))
		for i, e := range want {
			items[i] = scopeItem(someRow, e)
		}
		writeAll(t, endpoint, table, items)
		queries := transport.Inject(faulttest.Fault{Match: operation("Query"), Pass: true})
		expect(t, x, someRow, want)
		if queries.Seen() < 2 {
			t.Fatalf("the row took %d request: it tests no pages", queries.Seen())
		}
		got, err := x.Query(t.Context(), someRow, want[1].Time, want[len(want)-1].Time)
		if err != nil || !slices.Equal(got, want[1:len(want)-1]) {
			t.Errorf("all but the first and the last: %d entries, error %v", len(got), err)
		}
		transport.Heal()
		lastPageFails(t, x, transport, queries.Seen()/2)
	})
}

// longRow returns entries that make more than one page with few requests.
func longRow() []index.Entry {
	all := entries(someRow, 1500)
	for i := range all {
		all[i].Key += strings.Repeat("/long", 200)
	}
	return all
}

func lastPageFails(t *testing.T, x *dynamoindex.Index, transport *faulttest.Transport, pages int) {
	transport.Inject(faulttest.Fault{Match: operation("Query"), Times: pages - 1, Pass: true})
	broken := transport.Inject(faulttest.Fault{Match: operation("Query"), Status: http.StatusForbidden, Body: "{}"})
	got, err := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
	if err == nil || got != nil || broken.Hit() != 1 {
		t.Errorf("the last page failed %d times: got %d entries and error %v, want none and one", broken.Hit(), len(got), err)
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		row := index.RowAt("acme.1", 1700000000123456789)
		e := index.Entry{Time: 1700000000123456789, Key: row.BlobKey(1700000000123456789), Size: 12345, Sum: blob.SumOf([]byte("blob"))}
		put(t, x, row, e)
		items := read(t, endpoint, table)
		if len(items) != 1 || len(items[0]) != 6 {
			t.Fatalf("got %v, want one item of six attributes", items)
		}
		if got, ok := items[0]["size"].(*types.AttributeValueMemberN); !ok || got.Value != "12345" {
			t.Errorf("size is %v, want the number 12345", items[0]["size"])
		}
		if got, ok := items[0]["sum"].(*types.AttributeValueMemberB); !ok || string(got.Value) != string(e.Sum[:]) {
			t.Errorf("sum is %v, want the bytes %x", items[0]["sum"], e.Sum)
		}
		expect(t, x, row, []index.Entry{e})
		for name, want := range map[string]string{
			"hour":   "acme.1-472222",
			"report": "adc28497fce6fb8e87fc50b0c8ffd805/1700000000123456789", // md5sum of the hour
		} {
			if got, ok := items[0][name].(*types.AttributeValueMemberS); !ok || got.Value != want {
				t.Errorf("%s is %v, want the string %q", name, items[0][name], want)
			}
		}
		if got, ok := items[0]["ts"].(*types.AttributeValueMemberN); !ok || got.Value != "1700000000123456789" {
			t.Errorf("ts is %v, want the number 1700000000123456789", items[0]["ts"])
		}
		if got, ok := items[0]["put"].(*types.AttributeValueMemberB); !ok || len(got.Value) != 8 {
			t.Errorf("put is %v, want 8 bytes", items[0]["put"])
		}
	})
}

// TestPlaceLayout checks that a place is one item, which has expired for versions that do
// not know it.
func TestPlaceLayout(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		p := index.Place{Start: 1700000040000000000, ID: "write 1", State: []byte("\x00state")}
		if _, err := x.SwapPlace(t.Context(), index.PlaceSet{Tenant: "acme.1", Level: time.Minute}, "", p); err != nil {
			t.Fatal(err)
		}
		items := read(t, endpoint, table)
		want := item{"hour": text("#level/60000000000/acme.1"), "ts": number(p.Start), "id": text("write 1"),
			"state": &types.AttributeValueMemberB{Value: p.State}, "expires": number(0)}
		if len(items) != 1 || !reflect.DeepEqual(items[0], want) {
			t.Errorf("got %v, want %v", items, want)
		}
		out, err := plain(t, endpoint).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table,
			FilterExpression:          aws.String("attribute_not_exists(expires) OR NOT expires <= :now"),
			ExpressionAttributeValues: item{":now": number(time.Now().Unix())}})
		if err != nil || len(out.Items) != 0 {
			t.Errorf("the scan of an earlier version: got %v and error %v, want nothing", out.Items, err)
		}
	})
}

// TestScopeReadsNoPlaces asks for an hour as Scope's collectors do, in a table in which the hour
// also has places of all levels.
func TestScopeReadsNoPlaces(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		e := entries(someRow, 30)
		put(t, x, someRow, e...)
		for _, level := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
			p := index.Place{Start: someRow.Start() / int64(level) * int64(level), ID: "write 1", State: []byte("state")}
			if swapped, err := x.SwapPlace(t.Context(), index.PlaceSet{Tenant: someRow.Tenant, Level: level}, "", p); err != nil || !swapped {
				t.Fatalf("swapped %v, %v", swapped, err)
			}
		}
		condition := func(op types.ComparisonOperator, values ...types.AttributeValue) types.Condition {
			return types.Condition{ComparisonOperator: op, AttributeValueList: values}
		}
		out, err := plain(t, endpoint).Query(t.Context(), &dynamodb.QueryInput{TableName: &table, AttributesToGet: []string{"report"},
			KeyConditions: map[string]types.Condition{
				"hour": condition(types.ComparisonOperatorEq, text(someRow.Key())),
				"ts":   condition(types.ComparisonOperatorBetween, number(someRow.Start()), number(someRow.End()))}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Items) != len(e) {
			t.Fatalf("%d items, want %d", len(out.Items), len(e))
		}
		for i, got := range out.Items {
			if want := (item{"report": text(e[i].Key)}); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}

// TestMixedVersions checks that entries with and without size and sum share a row.
func TestMixedVersions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		e := entries(someRow, 30)
		for i := range e {
			if i%3 == 0 { // as Scope and earlier versions write it
				write(t, endpoint, table, scopeItem(someRow, e[i]))
				continue
			}
			e[i].Size, e[i].Sum = int64(i), blob.SumOf([]byte(e[i].Key))
			put(t, x, someRow, e[i])
		}
		expect(t, x, someRow, e)
		if err := x.Delete(t.Context(), someRow, e[:15]); err != nil {
			t.Error(err)
		}
		expect(t, x, someRow, e[15:])
	})
}

// TestStoreTime follows the Date header of responses.
func TestStoreTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x := created(t, openIndex(t, endpoint, newTable(), nil))
		expect(t, x, someRow, nil)
		got := x.StoreTime()
		if apart := time.Since(got); apart < -time.Minute || apart > time.Minute {
			t.Errorf("the server's time is %v, and the process's is %v", got, time.Now())
		}
	})
	x := openIndex(t, "http://127.0.0.1:1", "nobody-is-asked", nil)
	if got := x.StoreTime(); !got.IsZero() {
		t.Errorf("before any response the time is %v", got)
	}
}

func TestItemsOfScope(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		x, table := fresh(t, endpoint, nil)
		row := index.Row{Hour: 472222} // the single tenant
		want := entries(row, 40)
		for _, e := range want {
			write(t, endpoint, table, item{"hour": text("-472222"), "ts": number(e.Time), "report": text(e.Key),
				"hash": number(7)}) // attributes of others are theirs
		}
		expect(t, x, row, want)
		err := x.Put(t.Context(), row, want[0])
		if !errors.Is(err, index.ErrExists) {
			t.Errorf("put of what Scope has put: got error %v, want ErrExists", err)
		}
	})
}

func TestBrokenEntries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		with item
		want string
	}{
		"number":        {item{"ts": number(someRow.Start() + 7), "report": number(5)}, `"report" is the number 5`},
		"list":          {item{"ts": number(someRow.Start() + 7), "report": &types.AttributeValueMemberL{}}, `"report" is of type L`},
		"half an entry": {item{"ts": &types.AttributeValueMemberN{Value: "1700000000000000000.5"}, "report": text("k")}, `"ts" is "1700000000000000000.5"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := servertest.SharedDynalite(t)
			x, table := fresh(t, endpoint, nil)
			put(t, x, someRow, entries(someRow, 3)...)
			c.with["hour"] = text(someRow.Key())
			write(t, endpoint, table, c.with)
			got, err := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
			if err == nil || got != nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), someRow.Key()) {
				t.Errorf("got %v and error %v, want one with %s and the row's key", got, err, c.want)
			}
		})
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	x, err := dynamoindex.New(configFor("http://127.0.0.1:1"), "no-server-is-asked", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := someRow.Start()
	for name, c := range map[string]struct {
		row  index.Row
		e    index.Entry
		want string
	}{
		"other hour":      {someRow, index.Entry{Time: someRow.End(), Key: "k"}, "is not in hour"},
		"no key":          {someRow, index.Entry{Time: at}, "not empty"},
		"key in Latin-1":  {someRow, index.Entry{Time: at, Key: "caf\xe9"}, "UTF-8"},
		"tenant of bytes": {index.Row{Tenant: "\xff", Hour: someRow.Hour}, index.Entry{Time: at, Key: "k"}, "tenant id"},
		"reserved mark":   {index.Row{Tenant: "a#1", Hour: someRow.Hour}, index.Entry{Time: at, Key: "k"}, "tenant id"},
	} {
		if err := x.Put(t.Context(), c.row, c.e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
	}
	if _, err := x.Query(t.Context(), index.Row{Tenant: "\xff"}, 0, 1); err == nil || !strings.Contains(err.Error(), "tenant id") {
		t.Errorf("query of a tenant of bytes: got error %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]dynamoindex.Options{
		"21 attempts":         {Attempts: 21},
		"retention":           {Retention: time.Minute},
		"timeouts of":         {AttemptTimeout: -1},
		"and -1ns in all":     {Timeout: -1},
		"-1 retries a second": {RetryRate: -1},
	} {
		if _, err := dynamoindex.New(configFor("http://127.0.0.1:1"), "table", &opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %q", err, want)
		}
	}
}

func TestTableNames(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"abc": true, "A_b.c-9": true, strings.Repeat("t", 255): true,
		"": false, "ab": false, "a/b": false, "a b c": false, "tablé": false, "abc\n": false, strings.Repeat("t", 256): false,
		"arn:aws:dynamodb:eu-central-1:123456789012:table/abc": false,
	} {
		_, err := dynamoindex.New(configFor("http://127.0.0.1:1"), name, nil)
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "3 to 255") {
			t.Errorf("table %q: got error %v", name, err)
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string) {
		now := time.Unix(0, someRow.Start())
		opts := patient()
		opts.Retention, opts.Now = time.Hour, func() time.Time { return now }
		_, table := fresh(t, endpoint, nil)
		x := openIndex(t, endpoint, table, opts)
		e := entries(someRow, 10)
		write(t, endpoint, table, scopeItem(someRow, e[0])) // for ever
		put(t, x, someRow, e[1:]...)
		expires := someRow.Start()/1e9 + 3601
		for _, i := range read(t, endpoint, table)[1:] {
			expires++
			if got, ok := i["expires"].(*types.AttributeValueMemberN); !ok || got.Value != fmt.Sprint(expires) {
				t.Errorf("expires is %v, want the number %d", i["expires"], expires)
			}
		}
		now = now.Add(time.Hour + 4*time.Second)
		expect(t, x, someRow, slices.Concat(e[:1], e[4:]))
		late := index.Entry{Time: e[3].Time + 1, Key: "late"} // expires when e[3] does
		if err := x.Put(t.Context(), someRow, late); !errors.Is(err, dynamoindex.ErrExpired) {
			t.Errorf("put of what has expired: got error %v, want ErrExpired", err)
		}
	})
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	x, transport, _ := faulty(t, servertest.SharedDynalite(t), patient())
	hung := transport.Inject(faulttest.Fault{Hang: true})
	for name, ask := range map[string]func(context.Context) error{
		"put":   func(ctx context.Context) error { return x.Put(ctx, someRow, entries(someRow, 1)[0]) },
		"query": func(ctx context.Context) error { _, err := x.Query(ctx, someRow, 0, someRow.End()); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		before := hung.Hit()
		go func() { done <- ask(ctx) }()
		for hung.Hit() == before {
			time.Sleep(time.Millisecond)
		}
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got error %v, want context.Canceled", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s goes on after it was cancelled", name)
		}
	}
}
