package httpapi

import (
	"net/http"
	"testing"
)

func TestWantsMsgpack(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                                      false,
		"*/*":                                   false,
		"text/html":                             false,
		"application/msgpack":                   true,
		"Application/Msgpack; charset=x":        true,
		"application/msgpack, */*":              true,
		"application/json, application/msgpack": false,
		"application/json;q=0.5, application/msgpack;q=0.6": true,
		"application/msgpack;q=0.5, application/json":       false,
		"application/msgpack;q=0":                           false,
		"application/msgpack;q=2":                           false,
		"application/msgpack;q=x":                           false,
		"text/html, application/msgpack;q=0.9, */*;q=0.1":   true,
		"*/*;q=0.8, application/msgpack;q=0.8":              false,
	} {
		if got := wantsMsgpack(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("Accept: %s: %v", accept, got)
		}
	}
}

func TestWantsGzip(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]struct{ large, small bool }{
		"":                              {false, false},
		"gzip":                          {true, false},
		"x-gzip":                        {true, false},
		"GZIP;q=1.0, deflate":           {true, false},
		"*":                             {true, false},
		"deflate, br":                   {false, false},
		"identity":                      {false, false},
		"gzip;q=0":                      {false, false},
		"gzip;q=0, *":                   {false, false},
		"gzip;q=0.5, identity":          {false, false},
		"gzip, identity;q=0.5":          {true, false},
		"gzip, identity;q=0":            {true, true},
		"gzip, *;q=0":                   {true, true},
		"identity;q=0, *;q=0":           {false, false},
		"gzip;q=nonsense":               {false, false},
		"br;q=1.0, gzip;q=0.8, *;q=0.1": {true, false},
	} {
		h := http.Header{"Accept-Encoding": {accept}}
		if got := wantsGzip(h, minGzip); got != want.large {
			t.Errorf("Accept-Encoding: %s: large: %v", accept, got)
		}
		if got := wantsGzip(h, minGzip-1); got != want.small {
			t.Errorf("Accept-Encoding: %s: small: %v", accept, got)
		}
	}
}
