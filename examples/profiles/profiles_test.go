package profiles_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/timeblob/timeblob/examples/profiles"
)

// spent makes a profile of one sample, as runtime/pprof takes them.
func spent(function string, took time.Duration) *profile.Profile {
	f := &profile.Function{ID: 1, Name: function}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 1}}}
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	return &profile.Profile{
		SampleType: []*profile.ValueType{cpu}, PeriodType: cpu, Period: int64(10 * time.Millisecond),
		Sample:   []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{int64(took)}}},
		Location: []*profile.Location{l}, Function: []*profile.Function{f},
	}
}

func cpuOf(service string) profiles.Labels { return profiles.Labels{"service": service, "type": "cpu"} }

// fill stores profiles of three series at an instant.
func fill(s *profiles.Store, at time.Time) error {
	ctx := context.Background()
	for _, a := range []struct {
		labels   profiles.Labels
		function string
	}{
		{cpuOf("checkout"), "main.pay"},
		{cpuOf("search"), "main.find"},
		{profiles.Labels{"service": "checkout", "type": "heap"}, "main.allocate"},
	} {
		if err := s.Add(ctx, a.labels, spent(a.function, time.Second), at); err != nil {
			return err
		}
	}
	return nil
}

// total returns the time in a merged profile, by function.
func total(p *profile.Profile) map[string]time.Duration {
	all := map[string]time.Duration{}
	if p == nil {
		return all
	}
	for _, s := range p.Sample {
		all[s.Location[0].Line[0].Function.Name] += time.Duration(s.Value[0])
	}
	return all
}

// TestLabels asks for series by some of their labels, before and after a restart,
// at the edges of hours, while others add.
func TestLabels(t *testing.T) {
	t.Parallel()
	dir, day := t.TempDir(), time.Now().Add(-48*time.Hour).Truncate(time.Hour)
	store, err := profiles.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var adders sync.WaitGroup
	for minute := range 4 {
		adders.Go(func() {
			if err := fill(store, day.Add(time.Duration(minute)*20*time.Minute)); err != nil {
				t.Error(err)
			}
		})
	}
	adders.Wait()
	for range 2 {
		for name, c := range map[string]struct {
			match    profiles.Labels
			from, to time.Duration
			want     string
		}{
			"one series":     {cpuOf("checkout"), 0, 2 * time.Hour, "map[main.pay:4s]"},
			"a service":      {profiles.Labels{"service": "checkout"}, 0, 2 * time.Hour, "map[main.allocate:4s main.pay:4s]"},
			"a type":         {profiles.Labels{"type": "cpu"}, 0, time.Hour, "map[main.find:3s main.pay:3s]"},
			"the last alone": {cpuOf("search"), time.Hour, time.Hour + 1, "map[main.find:1s]"},
			"nothing yet":    {cpuOf("search"), -time.Hour, 0, "map[]"},
			"no such series": {cpuOf("mail"), 0, 2 * time.Hour, "map[]"},
		} {
			a, err := store.Range(t.Context(), c.match, day.Add(c.from), day.Add(c.to))
			if got := fmt.Sprint(total(a.Value)); err != nil || got != c.want {
				t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
			}
		}
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if store, err = profiles.Open(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	store, err := profiles.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Add(t.Context(), cpuOf("mail"), nil, time.Time{}); err == nil {
		t.Error("a nil profile was added")
	}
	for query, status := range map[string]int{"service=mail": http.StatusNotFound, "from=noon": http.StatusBadRequest} {
		w := httptest.NewRecorder()
		store.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/profile?"+query, nil))
		if w.Code != status {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestGoToolPprof runs go tool pprof on the URL of a range: of profiles of now,
// which are not stored yet, and of the past.
func TestGoToolPprof(t *testing.T) {
	t.Parallel()
	store, err := profiles.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	for _, at := range []time.Time{{}, yesterday, yesterday.Add(time.Minute)} {
		if err := fill(store, at); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(store)
	defer server.Close()
	past := url.Values{"from": {yesterday.Format(time.RFC3339Nano)}, "to": {yesterday.Add(time.Hour).Format(time.RFC3339Nano)}, "service": {"checkout"}}
	for query, want := range map[string][]string{
		"service=checkout&type=cpu": {"100% of 1s total", "main.pay"},
		past.Encode():               {"main.pay", "main.allocate", "2s 50.00%"},
	} {
		top := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-top", server.URL+"/profile?"+query)
		top.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		out, err := top.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: no %q in\n%s", query, w, out)
			}
		}
		if strings.Contains(string(out), "main.find") {
			t.Errorf("%s: another service's function in\n%s", query, out)
		}
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func ExampleOpen() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "profiles")
	defer os.RemoveAll(dir)
	store, err := profiles.Open(dir)
	if err != nil {
		panic(err)
	}
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	_ = store.Add(ctx, profiles.Labels{"service": "checkout", "type": "cpu"}, spent("main.pay", time.Second), noon)
	_ = store.Add(ctx, profiles.Labels{"service": "search", "type": "cpu"}, spent("main.find", time.Second), noon)

	merged, err := store.Range(ctx, profiles.Labels{"type": "cpu"}, noon, noon.Add(time.Hour))
	fmt.Println(total(merged.Value), merged.Entries, err)
	fmt.Println(store.Close(ctx))
	// go tool pprof reads the same from an http.Server with the store as its handler.

	// Output:
	// map[main.find:1s main.pay:1s] 2 <nil>
	// <nil>
}
