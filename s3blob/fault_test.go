package s3blob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// inBubble runs a test in synctest's time, where waiting costs none.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

const slowDown = `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`

// troubles are faults that a tier must get over by itself.
var troubles = []struct {
	name  string
	fault faulttest.Fault
}{
	{"unavailable", faulttest.Fault{Chance: 0.2, Status: 503}},
	{"throttled", faulttest.Fault{Chance: 0.2, Status: 503, Body: slowDown}},
	{"too many", faulttest.Fault{Chance: 0.2, Status: 429}},
	{"internal error", faulttest.Fault{Chance: 0.2, Status: 500}},
	{"reset", faulttest.Fault{Chance: 0.2, Err: faulttest.ErrReset}},
	{"answer lost", faulttest.Fault{Chance: 0.2, Applied: true}},
	{"body cut", faulttest.Fault{Chance: 0.2, Truncate: true}},
	{"body stalls", faulttest.Fault{Chance: 0.2, Stall: true}},
	{"hang", faulttest.Fault{Chance: 0.2, Hang: true}},
	{"slow body", faulttest.Fault{Chance: 0.2, Pace: 20 * time.Second}},
}

// TestTroubles writes and reads through one request of five going wrong:
// nothing is lost, nothing is missing, and an object takes 1.5 requests at
// most.
func TestTroubles(t *testing.T) {
	t.Parallel()
	for _, c := range troubles {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				const objects = 300
				f := fake(t, s3blob.Options{Timeout: time.Hour, Attempts: 15})
				rule := f.faults.Inject(c.fault)
				want := blobs(objects, 4000)
				putThrough(t, f, want)
				got, err := tiertest.Found(t.Context(), f, keysOf(want))
				if err != nil {
					t.Fatal(err)
				}
				if err := same(got, want); err != nil {
					t.Error(err)
				}
				per := float64(rule.Seen()) / (2 * objects)
				if per > 1.5 || rule.Hit() < objects/5 {
					t.Errorf("%.2f requests per object, of which %d went wrong", per, rule.Hit())
				}
				t.Logf("%.2f requests per object", per)
			})
		})
	}
}

// putThrough stores blobs, ten at a time as a collector does.
func putThrough(t *testing.T, f fixture, blobs map[string][]byte) {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(10)
	for key, blob := range blobs {
		g.Go(func() error { return f.Put(ctx, key, blob) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestOutage fails everything for an hour: that costs few requests, and then
// one second is enough to retry again.
func TestOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{})
		want := blobs(1, 100)
		mustPut(t, f, want)
		outage := f.faults.Inject(faulttest.Fault{Status: 503})
		for range 1000 {
			if got, err := tiertest.Found(t.Context(), f, keysOf(want)); err == nil || len(got) != 0 {
				t.Fatalf("Get: %d blobs and %v in an outage", len(got), err)
			}
		}
		if n := outage.Seen(); n > 1300 { // 100 retries saved up, and one a second
			t.Errorf("1000 reads in an outage made %d requests", n)
		}
		f.faults.Heal()
		time.Sleep(time.Second)
		once := f.faults.Inject(faulttest.Fault{Status: 503, Times: 1})
		if got, err := tiertest.Found(t.Context(), f, keysOf(want)); err != nil || same(got, want) != nil {
			t.Errorf("after the outage: %v, %v", err, same(got, want))
		}
		if once.Hit() != 1 {
			t.Error("the fault after the outage did not happen")
		}
	})
}

// TestDeadlines lets a server hang, or send too slowly: each request is given
// up after its time, and the object after its own.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		fault    faulttest.Fault
		opts     s3blob.Options
		requests int
		least    time.Duration
		most     time.Duration
		says     string
	}{
		{"hang", faulttest.Fault{Hang: true}, s3blob.Options{AttemptTimeout: 10 * time.Second}, 3, 30 * time.Second, 30 * time.Second, "not done within 30s"},
		{"stall", faulttest.Fault{Stall: true}, s3blob.Options{AttemptTimeout: 10 * time.Second}, 3, 30 * time.Second, 30 * time.Second, "not done within 30s"},
		{"slow body", faulttest.Fault{Pace: 3 * time.Second}, s3blob.Options{AttemptTimeout: 10 * time.Second}, 3, 30 * time.Second, 30 * time.Second, "not done within 30s"},
		{"two attempts", faulttest.Fault{Hang: true}, s3blob.Options{Attempts: 2}, 2, 8 * time.Second, 9 * time.Second, "no complete answer within 4s"},
		{"short", faulttest.Fault{Hang: true}, s3blob.Options{AttemptTimeout: time.Second, Timeout: 2500 * time.Millisecond}, 3, 2500 * time.Millisecond, 2500 * time.Millisecond, "not done within 2.5s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				f := fake(t, c.opts)
				want := blobs(1, 4000)
				mustPut(t, f, want)
				c.fault.Match = isGet
				rule := f.faults.Inject(c.fault)
				begin := time.Now()
				got, err := tiertest.Found(t.Context(), f, keysOf(want))
				if err == nil || len(got) != 0 || !contains(err, c.says) {
					t.Errorf("Get: %d blobs and %v", len(got), err)
				}
				if took := time.Since(begin); took < c.least || took > c.most || rule.Hit() != c.requests {
					t.Errorf("%d requests in %v, want %d in %v to %v: %v", rule.Hit(), took, c.requests, c.least, c.most, err)
				}
			})
		})
	}
}

func TestPutDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{AttemptTimeout: 10 * time.Second})
		rule := f.faults.Inject(faulttest.Fault{Match: isPut, Hang: true})
		begin := time.Now()
		err := f.Put(t.Context(), "k", []byte("blob"))
		if took := time.Since(begin); err == nil || errors.Is(err, fs.ErrExist) || took != 30*time.Second || rule.Hit() != 3 {
			t.Errorf("%v after %v and %d requests, want an error after 30s and 3", err, took, rule.Hit())
		}
	})
}

// TestCancel ends the context while requests hang, and during a backoff.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, fault := range []faulttest.Fault{{Hang: true}, {Stall: true}, {Delay: time.Hour}, {Status: 503}} {
		inBubble(t, func(t *testing.T) {
			f := fake(t, s3blob.Options{Attempts: 1000, Timeout: time.Hour, AttemptTimeout: time.Hour, Parallel: 2})
			want := blobs(5, 100)
			mustPut(t, f, want)
			f.faults.Inject(fault)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, nil)
			defer cancel()
			begin := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				if got, err := tiertest.Found(ctx, f, keysOf(want)); !errors.Is(err, context.DeadlineExceeded) || len(got) != 0 {
					t.Errorf("%+v: Get: %d blobs and %v", fault, len(got), err)
				}
			})
			wg.Go(func() {
				if err := f.Put(ctx, "new", []byte("blob")); !fault.Stall && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%+v: Put: %v", fault, err)
				}
			})
			wg.Wait()
			if took := time.Since(begin); took != 10*time.Second && fault.Status == 0 || f.faults.Busy() != 0 {
				t.Errorf("%+v: returned after %v with %d requests under way", fault, took, f.faults.Busy())
			}
		})
	}
}

// TestCancelCostsNoTokens cancels many calls while they read: that is nobody's
// failure, and the next one still has its retries.
func TestCancelCostsNoTokens(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{})
		want := blobs(1, 100)
		mustPut(t, f, want)
		f.faults.Inject(faulttest.Fault{Stall: true})
		for range 300 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := tiertest.Found(ctx, f, keysOf(want)); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		f.faults.Heal()
		f.faults.Inject(faulttest.Fault{Status: 503, Times: 3})
		if got, err := tiertest.Found(t.Context(), f, keysOf(want)); err != nil || same(got, want) != nil {
			t.Errorf("%v, %v", err, same(got, want))
		}
	})
}

// obscure is a RoundTripper whose bodies end with an error of their own when
// the context ends.
type obscure struct{ base http.RoundTripper }

func (o obscure) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := o.base.RoundTrip(request)
	if err == nil && request.Method == http.MethodGet {
		response.Body = obscureBody{response.Body, request}
	}
	return response, err
}

type obscureBody struct {
	io.ReadCloser
	request *http.Request
}

func (b obscureBody) Read([]byte) (int, error) {
	<-b.request.Context().Done()
	return 0, errors.New("the connection is closed")
}

// TestCancelIsNamed gets an error of the context whatever the client says.
func TestCancelIsNamed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := open(t, nowhere, obscure{newFake()}, s3blob.Options{})
		want := blobs(1, 100)
		mustPut(t, f, want)
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(time.Second, cancel).Stop()
		_, err := tiertest.Found(ctx, f, keysOf(want))
		if !errors.Is(err, context.Canceled) || !contains(err, "connection is closed") {
			t.Errorf("got %v, want both that it was cancelled and what the client said", err)
		}
	})
}

// TestErrorEndsTheCall reads keys. One is refused while others hang:
// the call returns at once, with what was found, and names the key.
func TestErrorEndsTheCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{})
		want, hanging := blobs(5, 100), blobs(5, 100)
		mustPut(t, f, want)
		mustPut(t, f, hanging)
		has := func(keys map[string][]byte) func(faulttest.Call) bool {
			return func(c faulttest.Call) bool { _, ok := keys[c.Request.URL.Path[len("/"+bucket+"/"):]]; return ok }
		}
		f.faults.Inject(faulttest.Fault{Match: has(hanging), Hang: true})
		f.faults.Inject(faulttest.Fault{Match: has(map[string][]byte{"refused": nil}), Delay: time.Second, Status: 403})
		begin := time.Now()
		got, err := tiertest.Found(t.Context(), f, append(keysOf(want), append(keysOf(hanging), "refused")...))
		if err == nil || !contains(err, `"refused"`) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want an error that names the key", err)
		}
		if took := time.Since(begin); took != time.Second || f.faults.Busy() != 0 {
			t.Errorf("returned after %v with %d requests under way", took, f.faults.Busy())
		}
		if err := same(got, want); err != nil {
			t.Error(err)
		}
	})
}

// TestPutRetries are puts whose first request goes wrong.
func TestPutRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault faulttest.Fault
		want  error
	}{
		{"unavailable", faulttest.Fault{Status: 503}, nil},
		{"conflict", faulttest.Fault{Status: 409, Body: "<Error><Code>ConditionalRequestConflict</Code></Error>"}, nil},
		{"spoilt", faulttest.Fault{Status: 400, Body: "<Error><Code>BadDigest</Code></Error>"}, nil},
		{"spoilt, says Amazon", faulttest.Fault{Status: 400, Body: "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>"}, nil},
		{"reset", faulttest.Fault{Err: faulttest.ErrReset}, nil},
		{"took effect", faulttest.Fault{Applied: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				f := fake(t, s3blob.Options{})
				c.fault.Match, c.fault.Times = isPut, 1
				rule := f.faults.Inject(c.fault)
				key, blob := tiertest.Key(), tiertest.Blob(5000)
				if err := f.Put(t.Context(), key, blob); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if got := f.stored(t, key); string(got) != string(blob) || rule.Seen() != 2 { // and perhaps a HEAD
					t.Errorf("%d bytes are stored after %d requests", len(got), rule.Seen())
				}
			})
		})
	}
}

// TestUnconditionalLandedPut is stored by its retry, which writes the same.
func TestUnconditionalLandedPut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{Unconditional: true})
		f.faults.Inject(faulttest.Fault{Match: isPut, Times: 1, Applied: true})
		want := blobs(1, 500)
		mustPut(t, f, want)
		got, err := tiertest.Found(t.Context(), f, keysOf(want))
		if err != nil || same(got, want) != nil {
			t.Errorf("%v, %v", err, same(got, want))
		}
	})
}

// TestHeadFails looks whether a key is taken and is not told.
func TestHeadFails(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{Unconditional: true})
		f.faults.Inject(faulttest.Fault{Match: func(c faulttest.Call) bool { return c.Request.Method == http.MethodHead }, Status: 403})
		err := f.Put(t.Context(), "k", []byte("blob"))
		if err == nil || errors.Is(err, fs.ErrExist) || f.stored(t, "k") != nil {
			t.Errorf("got %v, and %q is stored", err, f.stored(t, "k"))
		}
	})
}

// TestStatuses are answers to a GET: one of them means that the blob is not
// there, and none that is for good is retried.
func TestStatuses(t *testing.T) {
	t.Parallel()
	code := func(code string) string { return "<Error><Code>" + code + "</Code></Error>" }
	for _, c := range []struct {
		name     string
		fault    faulttest.Fault
		absent   bool
		requests int
	}{
		{"no such key", faulttest.Fault{Status: 404, Body: code("NoSuchKey")}, true, 1},
		{"no such bucket", faulttest.Fault{Status: 404, Body: code("NoSuchBucket")}, false, 1},
		{"a proxy's 404", faulttest.Fault{Status: 404, Body: "<html>not here</html>"}, false, 1},
		{"an empty 404", faulttest.Fault{Status: 404}, false, 1},
		{"forbidden", faulttest.Fault{Status: 403, Body: code("AccessDenied")}, false, 1},
		{"redirect", faulttest.Fault{Status: 301, Body: code("PermanentRedirect")}, false, 1},
		{"archived", faulttest.Fault{Status: 403, Body: code("InvalidObjectState")}, false, 1},
		{"internal error", faulttest.Fault{Status: 500, Body: code("InternalError")}, false, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				f := fake(t, s3blob.Options{})
				want := blobs(1, 10)
				mustPut(t, f, want)
				rule := f.faults.Inject(c.fault)
				got, err := tiertest.Found(t.Context(), f, keysOf(want))
				if (err == nil) != c.absent || len(got) != 0 || rule.Hit() != c.requests {
					t.Errorf("%d blobs and %v after %d requests, want %d", len(got), err, rule.Hit(), c.requests)
				}
			})
		})
	}
}

// TestChecksums changes bytes on their way, on a server that checks them. Bytes
// that change once are sent again. Bytes that always change are an error, and
// never a blob.
func TestChecksums(t *testing.T) {
	t.Parallel()
	endpoint, transport := startVersity(t)
	for _, c := range []struct {
		name string
		put  faulttest.Fault
		get  faulttest.Fault
	}{
		{"both once", faulttest.Fault{CorruptSent: true, Times: 1}, faulttest.Fault{Corrupt: true, Times: 1}},
		{"reads always", faulttest.Fault{Pass: true}, faulttest.Fault{Corrupt: true}},
		{"writes always", faulttest.Fault{CorruptSent: true}, faulttest.Fault{Pass: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := open(t, endpoint, transport, s3blob.Options{Attempts: 3})
			c.put.Match, c.get.Match = isPut, isGet
			f.faults.Inject(c.put)
			f.faults.Inject(c.get)
			key, blob := tiertest.Key(), tiertest.Blob(200_000)
			always := c.put.CorruptSent && c.put.Times == 0
			if err := f.Put(t.Context(), key, blob); (err != nil) != always {
				t.Errorf("Put: %v", err)
			}
			want := map[string][]byte{}
			if !always {
				want[key] = blob
			}
			if got := f.stored(t, key); string(got) != string(want[key]) {
				t.Errorf("%d other bytes are stored", len(got))
			}
			failing := c.get.Corrupt && c.get.Times == 0
			if failing {
				clear(want)
			}
			got, err := tiertest.Found(t.Context(), f, []string{key})
			if (err != nil) != failing || !maps.EqualFunc(got, want, func(a, b []byte) bool { return string(a) == string(b) }) {
				t.Errorf("Get: %d blobs, %v", len(got), err)
			}
		})
	}
}
