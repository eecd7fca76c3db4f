package main

import (
	"regexp"
	"strings"
	"testing"
)

var profilesAt = regexp.MustCompile(`url=(http://127\.0\.0\.1:[0-9]+)/debug/pprof/`)

// TestDebugListener checks that profiles are served at --debug-listen only, and not by default.
func TestDebugListener(t *testing.T) {
	t.Parallel()
	s := serveWithin(t, append(embedded(t), "--debug-listen", "127.0.0.1:0")...)
	found := profilesAt.FindStringSubmatch(s.said())
	if found == nil {
		t.Fatalf("it does not say where: %s", s.said())
	}
	for path, want := range map[string]string{
		"/debug/pprof/": "heap", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "",
		"/debug/pprof/symbol": "num_symbols", "/debug/pprof/profile?seconds=1": "", "/debug/pprof/trace?seconds=0.1": "go 1.",
	} {
		if status, body := fetch(t, found[1]+path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100q", path, status, body)
		}
	}
	if status, _ := fetch(t, found[1]+"/metrics"); status != 404 {
		t.Errorf("other paths of the debug listener: %d", status)
	}
	if status, _ := fetch(t, s.url+"/debug/pprof/"); status != 404 {
		t.Errorf("profiles at the main listener: %d", status)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
	if status, _ := fetch(t, found[1]+"/debug/pprof/"); status != 0 {
		t.Error("the debug listener outlives the collector")
	}
	quiet := serveWithin(t, embedded(t)...)
	if strings.Contains(quiet.said(), "profiles") {
		t.Errorf("without the flag: %s", quiet.said())
	}
}
