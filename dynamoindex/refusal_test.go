package dynamoindex_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/timeblob/timeblob/index"
)

// putRequest is the part of a PutItem request that this test looks at.
type putRequest struct {
	Item                                map[string]json.RawMessage
	ReturnValuesOnConditionCheckFailure string
}

// TestRefusalWithItem plays DynamoDB since 2023, which sends the item that has
// the instant along, so that nothing more needs to be asked.
func TestRefusalWithItem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(map[string]json.RawMessage)
		want   error
	}{
		"of this put":      {func(map[string]json.RawMessage) {}, nil},
		"of another put":   {func(i map[string]json.RawMessage) { i["put"] = json.RawMessage(`{"B":"AAAAAAAAAAA="}`) }, index.ErrExists},
		"of Scope":         {func(i map[string]json.RawMessage) { delete(i, "put") }, index.ErrExists},
		"of something odd": {func(i map[string]json.RawMessage) { i["put"] = json.RawMessage(`{"S":"put"}`) }, index.ErrExists},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isOperation(r, "GetItem") { // of the marker
				_, _ = w.Write([]byte("{}"))
				return
			}
			if isOperation(r, "Query") { // of the settings of levels
				_, _ = w.Write([]byte("{}"))
				return
			}
			var in putRequest
			err := json.NewDecoder(r.Body).Decode(&in)
			if err != nil || !isOperation(r, "PutItem") || in.ReturnValuesOnConditionCheckFailure != "ALL_OLD" {
				t.Errorf("%s: %s %+v, error %v", name, r.Header.Get("X-Amz-Target"), in, err)
			}
			c.change(in.Item)
			refuse(t, w, in.Item)
		}))
		t.Cleanup(server.Close)
		err := openIndex(t, server.URL, "table", nil).Put(t.Context(), someRow, entries(someRow, 1)[0])
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func refuse(t *testing.T, w http.ResponseWriter, there map[string]json.RawMessage) {
	w.WriteHeader(http.StatusBadRequest)
	err := json.NewEncoder(w).Encode(map[string]any{
		"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
		"Item":   there,
	})
	if err != nil {
		t.Error(err)
	}
}
