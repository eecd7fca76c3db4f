package dynamoindex_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
)

// playing returns an index on a server that answers every Query and Scan with a body, and
// knows of no marker.
func playing(t *testing.T, body string) *dynamoindex.Index {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOperation(r, "GetItem") {
			_, _ = w.Write([]byte("{}"))
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return openIndex(t, server.URL, "table", nil)
}

// entryJSON is an item of a row in an answer.
func entryJSON(row index.Row, at int64) string {
	return fmt.Sprintf(`{"hour":{"S":%q},"ts":{"N":"%d"},"report":{"S":%q}}`, row.Key(), at, row.BlobKey(at))
}

// TestAnswersToOtherQuestions gives a query the items of another tenant, of another hour,
// twice, in another order, or without an end. Each is an error, and no answer.
func TestAnswersToOtherQuestions(t *testing.T) {
	t.Parallel()
	at := someRow.Start() + 5
	other := index.Row{Tenant: "other", Hour: someRow.Hour}
	later := index.Row{Tenant: someRow.Tenant, Hour: someRow.Hour + 1}
	mine := entryJSON(someRow, at)
	for name, c := range map[string]struct{ items, last, want string }{
		"another tenant":  {entryJSON(other, at), "", `"other-`},
		"another hour":    {entryJSON(later, later.Start()), "", `some-`},
		"another instant": {entryJSON(someRow, someRow.End()), "", "out of range"},
		"twice":           {mine + "," + mine, "", "out of order"},
		"backwards":       {entryJSON(someRow, at+1) + "," + mine, "", "out of order"},
		"no hour":         {`{"ts":{"N":"1"},"report":{"S":"k"}}`, "", "hour"},
		"no end":          {"", `,"LastEvaluatedKey":{"hour":{"S":"x"},"ts":{"N":"1"}}`, "no page would be the last"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := playing(t, `{"Items":[`+c.items+`]`+c.last+`}`)
			found, err := x.Query(t.Context(), someRow, someRow.Start(), someRow.End())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v and error %v, want %q", found, err, c.want)
			}
		})
	}
	x := playing(t, `{"Items":[`+mine+`]}`)
	if found, err := x.Query(t.Context(), someRow, someRow.Start(), someRow.End()); err != nil || len(found) != 1 {
		t.Errorf("its own answer: %v, %v", found, err)
	}
}

// TestPagesWithoutAnEnd has a scan of the table, and a query of places, begin the same
// page again and again.
func TestPagesWithoutAnEnd(t *testing.T) {
	t.Parallel()
	x := playing(t, `{"Items":[],"LastEvaluatedKey":{"hour":{"S":"x"},"ts":{"N":"1"}}}`)
	if _, err := x.Rows(t.Context()); err == nil || !strings.Contains(err.Error(), "no page would be the last") {
		t.Errorf("rows: %v", err)
	}
	set := index.PlaceSet{Tenant: "a", Level: time.Minute}
	if _, err := x.Places(t.Context(), set, 0, 1); err == nil || !strings.Contains(err.Error(), "no page would be the last") {
		t.Errorf("places: %v", err)
	}
}

// TestAnswersToOtherPlaces gives a query of places the places of another tenant.
func TestAnswersToOtherPlaces(t *testing.T) {
	t.Parallel()
	x := playing(t, `{"Items":[{"hour":{"S":"#level/60000000000/b"},"ts":{"N":"0"},"id":{"S":"1"},"expires":{"N":"0"}}]}`)
	if found, err := x.Places(t.Context(), index.PlaceSet{Tenant: "b", Level: time.Minute}, 0, 1); err != nil || len(found) != 1 {
		t.Errorf("its own: %v, %v", found, err)
	}
	if found, err := x.Places(t.Context(), index.PlaceSet{Tenant: "a", Level: time.Minute}, 0, 1); err == nil {
		t.Errorf("another tenant's: %v", found)
	}
}
