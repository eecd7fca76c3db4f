package remote

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// goldenUnread is a body of version 1 with a value that cannot be read. These bytes are
// frozen.
const goldenUnread = `
54425201
48 00000012 cd69996f 0000000000000002 0000000000000001 6331
55 00000033 18a39af0 02 0000000000000007 0000000000000000 00000000000000000000000000000000 0001 6b 0006 6661696c6564 6e6f20676f6f64
45 00000000 aa77cd87`

func TestGoldenBytesOfAnUnreadValue(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(holds{Version: "c1", Next: 2, Since: 1, Sealed: []bucket.HeldValue[string]{{Entry: index.Entry{Time: 7, Key: "k"},
		Untried: true, Err: &bucket.HeldError{Tenant: "acme", Time: time.Unix(0, 7), Err: errors.New("no good")}}}}, text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/held?v=1&tenant=acme&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", nil))
	if want := strings.Join(strings.Fields(goldenUnread), ""); hex.EncodeToString(w.Body.Bytes()) != want {
		t.Errorf("%d\n%x, want\n%s", w.Code, w.Body, want)
	}
}

// TestABadValueHidesNoOther asks a collector that holds values which cannot be read,
// encoded or decoded. Each is named, and the others are there.
func TestABadValueHidesNoOther(t *testing.T) {
	t.Parallel()
	at := func(n int64) index.Entry { return index.Entry{Time: n, Key: "k"} }
	h, err := NewHandler(holds{Version: "c1", Next: 9, IsOpen: true, Open: "fail", Sealed: []bucket.HeldValue[string]{
		{Entry: at(1), Own: true, Value: "good"}, {Entry: at(2), Value: "panic"}, {Entry: at(3), Untried: true, Value: "poison"},
		{Entry: at(4), Err: io.ErrNoProgress}, {Entry: at(5), Value: "fine"}}}, text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	defer s.Close()
	c, err := NewClient(s.URL, text{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	held, err := c.Held(t.Context(), "acme", from, to)
	if err != nil || held.IsOpen || len(held.Sealed) != 6 {
		t.Fatalf("%+v, %v", held, err)
	}
	for i, says := range []string{"", "encode panicked", "decode panicked", "multiple Read calls", "", "cannot encode that"} {
		v := held.Sealed[i]
		if (v.Err != nil) != (says != "") {
			t.Errorf("value %d: error %v, want %q", i, v.Err, says)
		}
		if v.Err == nil {
			continue
		}
		bad, ok := errors.AsType[*bucket.HeldError](v.Err)
		if !ok || bad.Tenant != "acme" || bad.Time.UnixNano() != v.Entry.Time || !strings.Contains(v.Err.Error(), says) || !strings.Contains(v.Err.Error(), s.URL) {
			t.Errorf("value %d: %v, want %q", i, v.Err, says)
		}
	}
	if h, err = NewHandler(holds{Version: "c1", Next: 9, IsOpen: true, Open: "poison"}, text{}, nil); err != nil {
		t.Fatal(err)
	}
	poisoned, err := clientOf(t, through{h}, ClientOptions{}).Held(t.Context(), "acme", from, to)
	if err != nil || poisoned.IsOpen || len(poisoned.Sealed) != 1 || poisoned.Sealed[0].Entry.Time != 9 || !strings.Contains(fmt.Sprint(poisoned.Sealed[0].Err), "decode panicked") {
		t.Errorf("an open tick that does not decode: %+v, %v", poisoned, err)
	}
	if held.Sealed[2].Entry != at(3) || !held.Sealed[2].Untried || held.Sealed[5].Entry.Time != 9 {
		t.Errorf("%+v", held.Sealed)
	}
}
