package remote

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// through makes requests to a handler without a network.
type through struct{ http.Handler }

func (h through) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// one answers with one value.
type one struct {
	scripted
	value string
}

func (o one) RangeMany(context.Context, []string, time.Time, time.Time, *bucket.RangeOptions) (bucket.Answer[string], error) {
	return bucket.Answer[string]{Value: o.value, Entries: 1}, nil
}

// TestACodecThatFails answers with values that cannot be encoded.
func TestACodecThatFails(t *testing.T) {
	t.Parallel()
	for value, said := range map[string]string{"fail": "cannot encode that", "panic": "encode panicked: cannot encode this"} {
		h, err := NewHandler(nil, text{}, &HandlerOptions[string]{Questions: one{value: value}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := clientOf(t, through{h}, ClientOptions{}).Range(t.Context(), "acme", from, to, nil)
		failed, ok := errors.AsType[*Error](err)
		if !ok || failed.Reason != Failed || !strings.Contains(failed.Message, said) || a.Value != "" {
			t.Errorf("%s: %+v, %v", value, a, err)
		}
	}
}

// TestCloneComesBeforeEncoding serves a value whose encoding would write to it.
func TestCloneComesBeforeEncoding(t *testing.T) {
	t.Parallel()
	opts := &HandlerOptions[string]{Clone: func(s string) string { return s + " cloned" }}
	h, err := NewHandler(holds{Version: "c1", Open: "value", IsOpen: true}, text{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	held, err := clientOf(t, through{h}, ClientOptions{}).Held(t.Context(), "acme", from, to)
	if err != nil || held.Open != "value cloned" {
		t.Errorf("%+v, %v", held, err)
	}
}
