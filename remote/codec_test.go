package remote

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	for value, said := range map[string]string{"fail": "cannot encode that", "panic": "encode panicked: cannot encode this", "typed nil": "<nil>"} {
		h, err := NewHandler(nil, text{}, &HandlerOptions[string]{Questions: one{value: value}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := clientOf(t, through{h}, ClientOptions{}).Range(t.Context(), "acme", from, to, nil)
		failed, ok := errors.AsType[*Error](err)
		if !ok || failed.Reason != Failed || !strings.Contains(failed.Message, said) || a.Value != "" {
			t.Errorf("%s: %+v, %v", value, a, err)
		}
		if h, err = NewHandler(holds{Version: "c1", Sealed: []bucket.HeldValue[string]{{Value: value}, {Value: "good"}}}, text{}, nil); err != nil {
			t.Fatal(err)
		}
		held, err := clientOf(t, through{h}, ClientOptions{}).Held(t.Context(), "acme", from, to)
		if err != nil || len(held.Sealed) != 2 || !strings.Contains(fmt.Sprint(held.Sealed[0].Err), said) || held.Sealed[1].Value != "good" {
			t.Errorf("%s, held: %+v, %v", value, held, err)
		}
	}
}

// several answers Values with some values.
type several struct {
	scripted
	values []string
}

func (s several) Values(context.Context, string, time.Time, time.Time, *bucket.RangeOptions) iter.Seq2[bucket.Value[string], error] {
	return func(yield func(bucket.Value[string], error) bool) {
		for i, v := range s.values {
			if !yield(bucket.Value[string]{Tenant: "acme", Time: time.Unix(0, int64(i)), Key: "k", Value: v}, nil) {
				return
			}
		}
	}
}

// TestABadValueEndsNoPartialSequence asks for seven values. The handler cannot encode two of them, and the
// client cannot decode one. A partial answer names these three, and has the other values.
func TestABadValueEndsNoPartialSequence(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(nil, text{}, &HandlerOptions[string]{Questions: several{values: []string{"a", "fail", "b", "poison", "c", "panic", "d"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := clientOf(t, through{h}, ClientOptions{})
	i, want := 0, []string{"", "cannot encode that", "", "cannot decode this", "", "encode panicked", ""}
	for v, err := range c.Values(t.Context(), "acme", from, to, &bucket.RangeOptions{Partial: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if (v.Err == nil) != (want[i] == "") || v.Err != nil && !strings.Contains(v.Err.Error(), want[i]) || v.Tenant != "acme" || v.Time.UnixNano() != int64(i) || v.Key != "k" || (v.Value == "") != (v.Err != nil) {
			t.Errorf("value %d: %+v, want an error about %q", i, v, want[i])
		}
		i++
	}
	if i != len(want) {
		t.Errorf("got %d values, want %d", i, len(want))
	}
	for v, err := range c.Values(t.Context(), "acme", from, to, nil) {
		if err == nil && v.Value == "b" {
			t.Error("a whole answer goes on after a value that cannot be encoded")
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
