package remote_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/remote"
	"github.com/timeblob/timeblob/tiered"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts are how often things happened.
type counts map[string]int

type jsonCodec struct{}

func (jsonCodec) Encode(c counts) ([]byte, error)          { return json.Marshal(c) }
func (jsonCodec) Decode(blob []byte) (c counts, err error) { return c, json.Unmarshal(blob, &c) }

func addUp(parts []counts) (counts, error) {
	sum := counts{}
	for _, part := range parts {
		for k, n := range part {
			sum[k] += n
		}
	}
	return sum, nil
}

// world is an index and a blob store that some collectors share.
type world struct {
	idx   index.MemIndex
	tier  tiered.MemTier
	blobs *tiered.Store[counts]
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{}
	var err error
	if w.blobs, err = tiered.New(jsonCodec{}, &w.tier, &tiered.Options[counts]{Memory: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.blobs.Close(context.Background()) })
	return w
}

func (w *world) collector(t testing.TB) *bucket.Collector[counts] {
	t.Helper()
	c, err := bucket.NewCollector(&w.idx, w.blobs, addUp, &bucket.CollectorOptions[counts]{Tick: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) querier(t testing.TB) *bucket.Querier[counts] {
	t.Helper()
	q, err := bucket.NewQuerier(&w.idx, w.blobs, addUp, &bucket.QuantizerOptions[counts]{CacheBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// serve returns a client of a handler that listens.
func serve(t testing.TB, source bucket.Source[counts], questions remote.Questions[counts], transport *faulttest.Transport) *remote.Client[counts] {
	t.Helper()
	h, err := remote.NewHandler(source, jsonCodec{}, &remote.HandlerOptions[counts]{Questions: questions, Clone: maps.Clone[counts]})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	opts := &remote.ClientOptions{HTTP: server.Client()}
	if transport != nil {
		opts.HTTP = &http.Client{Transport: transport}
	}
	client, err := remote.NewClient(server.URL+"/deep/down", jsonCodec{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// all gathers what an iterator yields, as text.
func all[V any](t *testing.T, seq iter.Seq2[V, error], show func(V) string) (lines []string) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			return append(lines, "error: "+err.Error())
		}
		lines = append(lines, show(v))
	}
	return lines
}

func showAnswer(a bucket.Answer[counts]) string {
	return fmt.Sprint(a.Value, a.Entries, a.Missing, a.Provisional.UnixNano(), a.Provisional.IsZero())
}

func showStep(s bucket.Step[counts]) string {
	return fmt.Sprint(s.From.UnixNano(), s.To.UnixNano(), showAnswer(s.Answer))
}

func showValue(v bucket.Value[counts]) string {
	return fmt.Sprint(v.Tenant, v.Time.UnixNano(), v.Key, v.Value, v.Err)
}

// TestThreeCollectors asks a querier whose collectors are remote, the same
// querier with the collectors themselves, and a remote querier. Each collector
// has values in the index, values that cannot be stored yet, and an open tick.
func TestThreeCollectors(t *testing.T) {
	t.Parallel()
	w, now := newWorld(t), time.Now()
	var direct, over []bucket.Source[counts]
	for i := range 3 {
		c := w.collector(t)
		name := fmt.Sprint("c", i)
		for j := range 4 {
			at := &bucket.AddOptions{At: now.Add(-time.Duration(10*j+i+1) * time.Minute)}
			if err := c.Add(t.Context(), "acme", counts{name: 1, "past": 1}, at); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Add(t.Context(), "acme", counts{name: 1, "waiting": 1}, &bucket.AddOptions{At: now.Add(-5 * time.Second)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Add(t.Context(), "acme", counts{name: 1, "open": 1}, nil); err != nil {
			t.Fatal(err)
		}
		if err := c.Add(t.Context(), name, counts{name: 1}, nil); err != nil {
			t.Fatal(err)
		}
		direct, over = append(direct, c), append(over, serve(t, c, nil, nil))
	}
	q := w.querier(t)
	want := remote.Across(q, func() []bucket.Source[counts] { return direct })
	here := remote.Across(q, func() []bucket.Source[counts] { return over })
	there := serve(t, nil, here, nil)
	from, to := now.Add(-time.Hour), now.Add(time.Hour)
	total, err := want.Range(t.Context(), "acme", from, to, nil)
	if err != nil || !maps.Equal(total.Value, counts{"c0": 6, "c1": 6, "c2": 6, "past": 12, "waiting": 3, "open": 3}) {
		t.Fatalf("the collectors themselves: %v, %v", total, err)
	}
	for name, got := range map[string]remote.Questions[counts]{"remote collectors": here, "a remote querier": there} {
		checkMerges(t, name, got, total, from, to)
		past := now.Add(-time.Minute) // nothing of it changes while the test asks
		steps := func(q remote.Questions[counts]) []string {
			return all(t, q.Steps(t.Context(), "acme", from, past, 7*time.Minute, nil), showStep)
		}
		if got, want := steps(got), steps(want); len(want) != 9 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: steps\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		values := func(q remote.Questions[counts]) []string {
			return all(t, q.Values(t.Context(), "acme", from, now, nil), showValue)
		}
		if got, want := values(got), values(want); len(want) < 15 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: values\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// checkMerges asks for merges of one tenant, whose merge is total, and of several,
// and for what there is.
func checkMerges(t *testing.T, name string, got remote.Questions[counts], total bucket.Answer[counts], from, to time.Time) {
	t.Helper()
	a, err := got.RangeMany(t.Context(), []string{"acme"}, from, to, nil)
	if err != nil || !maps.Equal(a.Value, total.Value) || a.Entries != total.Entries || !a.Provisional.Equal(total.Provisional) {
		t.Errorf("%s: %v, %v; want %v", name, a, err, total)
	}
	a, err = got.RangeMany(t.Context(), []string{"acme", "c0", "c2", "nobody"}, from, to, nil)
	if err != nil || !maps.Equal(a.Value, counts{"c0": 7, "c1": 6, "c2": 7, "past": 12, "waiting": 3, "open": 3}) {
		t.Errorf("%s: many tenants: %v, %v", name, a, err)
	}
	for tenant, want := range map[string]bool{"acme": true, "c1": true, "nobody": false} {
		if has, err := got.(remote.Presence).Has(t.Context(), tenant, from, to); err != nil || has != want {
			t.Errorf("%s: has %s: %v, %v", name, tenant, has, err)
		}
	}
	if ids, err := got.(remote.TenantLister).Tenants(t.Context()); err != nil || fmt.Sprint(ids) != "[acme c0 c1 c2]" {
		t.Errorf("%s: tenants %v, %v", name, ids, err)
	}
}

func TestAnswersNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	w, now := newWorld(t), time.Now()
	c := w.collector(t)
	for i := range 3 {
		if err := c.Add(t.Context(), "acme", counts{"n": 1}, &bucket.AddOptions{At: now.Add(time.Duration(i-10) * time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stored, err := c.Entries(t.Context(), "acme", now.Add(-time.Hour), now)
	if err != nil || len(stored) != 3 {
		t.Fatalf("%v, %v", stored, err)
	}
	lost := stored[1]
	if err := w.tier.Delete(t.Context(), []string{lost.Key}); err != nil {
		t.Fatal(err)
	}
	down := serve(t, c, nil, nil)
	questions := remote.Across(w.querier(t), func() []bucket.Source[counts] { return []bucket.Source[counts]{gone{}} })
	client := serve(t, down, questions, nil)
	ask := func(opts *bucket.RangeOptions) (bucket.Answer[counts], error) {
		return client.Range(t.Context(), "acme", now.Add(-time.Hour), now, opts)
	}
	if _, err := ask(nil); err == nil || !strings.Contains(err.Error(), lost.Key) {
		t.Errorf("an exact answer: %v", err)
	}
	a, err := ask(&bucket.RangeOptions{Partial: true})
	if err != nil || a.Value["n"] != 2 || len(a.Missing) != 2 {
		t.Fatalf("%+v, %v", a, err)
	}
	blob, source := a.Missing[0], a.Missing[1]
	if blob.Tenant != "acme" || blob.Key != lost.Key || blob.Time.UnixNano() != lost.Time || !errors.Is(blob.Err, bucket.ErrNoBlob) {
		t.Errorf("the blob: %+v", blob)
	}
	if source.Source != "collector 7" || !errors.Is(source.Err, bucket.ErrClosed) {
		t.Errorf("the source: %+v", source)
	}
	if has, err := client.Has(t.Context(), "nobody", now.Add(-time.Hour), now); has || !errors.Is(err, bucket.ErrClosed) || !strings.Contains(err.Error(), "collector 7") {
		t.Errorf("has: %v, %v", has, err)
	}
	if ids, err := client.Tenants(t.Context()); fmt.Sprint(ids) != "[acme]" || err == nil || !strings.Contains(err.Error(), "collector 7") {
		t.Errorf("tenants: %v, %v", ids, err)
	}
	values := all(t, client.Values(t.Context(), "acme", now.Add(-time.Hour), now, &bucket.RangeOptions{Partial: true}), showValue)
	if len(values) != 4 || !strings.Contains(values[0], "collector 7") || !strings.Contains(values[2], "no such blob") {
		t.Errorf("values: %q", values)
	}
}

// gone is a source that was closed.
type gone struct{}

func (gone) String() string { return "collector 7" }
func (gone) Held(context.Context, string, time.Time, time.Time) (bucket.Held[counts], error) {
	return bucket.Held[counts]{}, bucket.ErrClosed
}

func TestErrorsKeepTheirReason(t *testing.T) {
	t.Parallel()
	w, now := newWorld(t), time.Now()
	c := w.collector(t)
	if err := c.Add(t.Context(), "acme", counts{"n": 1}, &bucket.AddOptions{At: now.Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := serve(t, c, c, nil)
	small := &bucket.RangeOptions{MaxBytes: 1}
	_, tenant := client.Held(t.Context(), "no/tenant", now, now)
	_, backwards := client.Range(t.Context(), "acme", now, now.Add(-time.Hour), nil)
	_, large := client.Range(t.Context(), "acme", now.Add(-time.Hour), now, small)
	_, far := client.Range(t.Context(), "acme", time.Unix(1<<40, 0), time.Unix(1<<41, 0), nil)
	_, unserved := serve(t, c, nil, nil).Range(t.Context(), "acme", now, now, nil)
	_, nothing := serve(t, nil, c, nil).Held(t.Context(), "acme", now, now)
	_, noPresence := serve(t, nil, endless{}, nil).Has(t.Context(), "acme", now, now)
	_, noTenants := serve(t, nil, endless{}, nil).Tenants(t.Context())
	_, noHeldTenants := serve(t, gone{}, nil, nil).HeldTenants(t.Context())
	var step error
	for _, step = range client.Steps(t.Context(), "acme", now, now.Add(time.Hour), -1, nil) {
	}
	for name, check := range map[string]struct {
		err    error
		reason remote.Reason
	}{
		"a tenant": {tenant, remote.Refused}, "backwards": {backwards, remote.Refused}, "far away": {far, remote.Refused},
		"too large": {large, remote.TooLarge}, "a step": {step, remote.Refused},
		"unserved": {unserved, remote.Refused}, "nothing held": {nothing, remote.Refused},
		"no presence": {noPresence, remote.Refused}, "no tenants": {noTenants, remote.Refused}, "no held tenants": {noHeldTenants, remote.Refused},
	} {
		if said, ok := errors.AsType[*remote.Error](check.err); !ok || said.Reason != check.reason || said.Message == "" {
			t.Errorf("%s: %v", name, check.err)
		}
	}
}

// TestFaultsOnTheWay asks a querier of two collectors, while the connections to
// one of them fail. What the other one and the index have must be in the answer.
func TestFaultsOnTheWay(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]faulttest.Fault{
		"refused":   {},
		"cut short": {Truncate: true},
		"one bit":   {Corrupt: true},
		"a proxy":   {Status: http.StatusBadGateway, Body: "bad gateway"},
		"a page":    {Status: http.StatusOK, Body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, now := newWorld(t), time.Now()
			faults := faulttest.NewTransport(&http.Transport{DisableKeepAlives: true}, 1)
			var sources []bucket.Source[counts]
			for i, transport := range []*faulttest.Transport{faults, nil} {
				c := w.collector(t)
				if err := c.Add(t.Context(), "acme", counts{fmt.Sprint("c", i): 1}, nil); err != nil {
					t.Fatal(err)
				}
				sources = append(sources, serve(t, c, nil, transport))
			}
			ask := func() (bucket.Answer[counts], error) {
				return w.querier(t).Range(t.Context(), "acme", now.Add(-time.Hour), now.Add(time.Hour), sources, nil)
			}
			faults.Inject(fault)
			a, err := ask()
			if err != nil || !maps.Equal(a.Value, counts{"c1": 1}) || len(a.Missing) != 1 || a.Missing[0].Source != fmt.Sprint(sources[0]) {
				t.Errorf("%+v, %v", a, err)
			}
			faults.Heal()
			if a, err = ask(); err != nil || len(a.Value) != 2 || len(a.Missing) != 0 {
				t.Errorf("healed: %+v, %v", a, err)
			}
		})
	}
}

// TestAnIteratorThatIsLeft leaves the loop over the values of a remote collector.
// The handler's call must end.
func TestAnIteratorThatIsLeft(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	client := serve(t, nil, endless{ended: ended}, nil)
	n := 0
	for range client.Values(t.Context(), "acme", time.Unix(0, 0), time.Unix(1, 0), nil) {
		if n++; n == 3 {
			break
		}
	}
	<-ended
	n = 0
	for range client.Steps(t.Context(), "acme", time.Unix(0, 0), time.Unix(1, 0), time.Second, nil) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d steps", n)
	}
}

// endless answers without end until the context ends.
type endless struct {
	remote.Questions[counts]
	ended chan struct{}
}

func (e endless) Values(ctx context.Context, _ string, _, _ time.Time, _ *bucket.RangeOptions) iter.Seq2[bucket.Value[counts], error] {
	return func(yield func(bucket.Value[counts], error) bool) {
		defer close(e.ended)
		for ctx.Err() == nil && yield(bucket.Value[counts]{Value: counts{"n": 1}}, nil) {
		}
	}
}

func (e endless) Steps(ctx context.Context, _ string, _, _ time.Time, _ time.Duration, _ *bucket.RangeOptions) iter.Seq2[bucket.Step[counts], error] {
	return func(yield func(bucket.Step[counts], error) bool) {
		for ctx.Err() == nil && yield(bucket.Step[counts]{}, nil) {
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "collector:80", "ftp://collector", "http://", "http://c/?x=1", "http://c/#f", "http://[::1"} {
		if _, err := remote.NewClient(base, jsonCodec{}, nil); err == nil {
			t.Errorf("the URL %q is taken", base)
		}
	}
	if _, err := remote.NewClient[counts]("http://c", nil, nil); err == nil {
		t.Error("a client without a codec")
	}
	if _, err := remote.NewClient("http://c", jsonCodec{}, &remote.ClientOptions{MaxBytes: -1}); err == nil {
		t.Error("a negative limit")
	}
	if _, err := remote.NewHandler[counts](gone{}, nil, nil); err == nil {
		t.Error("a handler without a codec")
	}
	if _, err := remote.NewHandler[counts](nil, jsonCodec{}, nil); err == nil {
		t.Error("a handler of nothing")
	}
	h, err := remote.NewHandler[counts](gone{}, jsonCodec{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []struct {
		method, query string
		status        int
	}{
		{"POST", "v=1&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400},
		{"GET", "v=2&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400},
		{"GET", "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 400},
		{"GET", "v=1&from=yesterday&to=2026-01-01T00:00:00Z", 400},
		{"GET", "v=1&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z&max=many", 400},
		{"GET", "v=1&from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", 503},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(request.method, "/held?"+request.query, nil))
		if w.Code != request.status || w.Header().Get("Timeblob-Reason") == "" {
			t.Errorf("%s %s: %d %v", request.method, request.query, w.Code, w.Header())
		}
	}
}
