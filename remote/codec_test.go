package remote

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/bucket"
)

// through makes requests to a handler without a network.
type through struct{ http.Handler }

func (h through) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestACodecThatFails serves values that cannot be encoded: the first value of
// an answer, and a later one.
func TestACodecThatFails(t *testing.T) {
	t.Parallel()
	sealed := func(values ...string) (h holds) {
		h.Version = "c1"
		for _, v := range values {
			h.Sealed = append(h.Sealed, bucket.HeldValue[string]{Value: v})
		}
		return h
	}
	for said, source := range map[string]holds{
		"cannot encode that":                  sealed("good", "fail"),
		"encode panicked: cannot encode this": sealed("panic", "good"),
	} {
		h, err := NewHandler(source, text{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		held, err := clientOf(t, through{h}, ClientOptions{}).Held(t.Context(), "acme", from, to)
		failed, ok := errors.AsType[*Error](err)
		if !ok || failed.Reason != Failed || !strings.Contains(failed.Message, said) || held.Version != "" {
			t.Errorf("%v: %+v, %v", source, held, err)
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
