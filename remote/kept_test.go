package remote

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestAnAnswerThatAProxyKept has a proxy answer a question again as it was answered before, and strip the header by which that is noticed.
func TestAnAnswerThatAProxyKept(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(holds{Version: "c1", Next: 9}, text{}, &HandlerOptions[string]{Questions: scripted{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, strips := range map[string]bool{"with the header": false, "without it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := map[string]*httptest.ResponseRecorder{}
			var mu sync.Mutex // guards kept
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if kept[r.URL.String()] == nil {
					kept[r.URL.String()] = httptest.NewRecorder()
					h.ServeHTTP(kept[r.URL.String()], r)
				}
				answer := kept[r.URL.String()]
				if random := answer.Header().Get("Timeblob-Question"); !strips {
					w.Header().Set("Timeblob-Question", random)
				}
				_, _ = w.Write(answer.Body.Bytes())
			}))
			defer s.Close()
			c, err := NewClient(s.URL, text{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, ask := range []func() error{
				func() error { _, err := c.Held(t.Context(), "acme", from, to); return err },
				func() error { _, err := c.Range(t.Context(), "acme", from, to, nil); return err },
				func() error { _, err := c.Has(t.Context(), "acme", from, to); return err },
			} {
				first, again := ask(), ask()
				var format *FormatError
				if first != nil || errors.As(again, &format) == strips {
					t.Errorf("%v, then %v", first, again)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for url, answer := range kept {
				if got := answer.Header().Get("Cache-Control"); got != "no-store" {
					t.Errorf("%s may be kept: %q", url, got)
				}
			}
		})
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/held", nil)
	r.Header.Set("Timeblob-Question", strings.Repeat("x", 1000))
	if h.ServeHTTP(w, r); len(w.Header().Get("Timeblob-Question")) != maxRandom {
		t.Errorf("%d bytes are sent back", len(w.Header().Get("Timeblob-Question")))
	}
}
