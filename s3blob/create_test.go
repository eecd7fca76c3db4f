package s3blob_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// unmade is a fixture whose bucket nobody created.
func unmade(t *testing.T, endpoint, region string, base http.RoundTripper) fixture {
	t.Helper()
	f := fixture{faults: faulttest.NewTransport(base, 1), plain: plain(endpoint, base)}
	cfg := config(endpoint, f.faults)
	cfg.Region = region
	tier, err := s3blob.Open(cfg, bucket, pathStyle(s3blob.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	f.Tier = tier
	return f
}

// TestCreateBucket creates one by several at once, and again later, after
// which it holds what it held.
func TestCreateBucket(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, transport *http.Transport) {
		var g errgroup.Group
		for range 5 {
			f := unmade(t, endpoint, "us-east-1", transport)
			g.Go(func() error { return f.CreateBucket(t.Context()) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		f, want := unmade(t, endpoint, "us-east-1", transport), blobs(3, 100)
		mustPut(t, f, want)
		if err := f.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := tiertest.Found(t.Context(), f, keysOf(want))
		if err != nil || same(got, want) != nil {
			t.Errorf("%v, %v", err, same(got, want))
		}
	})
}

// TestNoBucket reads and writes where there is no bucket: errors, not absence.
func TestNoBucket(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, transport *http.Transport) {
		f := unmade(t, endpoint, "us-east-1", transport)
		if got, err := tiertest.Found(t.Context(), f, []string{"k"}); err == nil || !contains(err, "NoSuchBucket") || contains(err, "s3blob") || contains(err, `"k"`) {
			t.Errorf("Get: %d blobs and %v", len(got), err)
		}
		if err := f.Put(t.Context(), "k", []byte("blob")); err == nil || !contains(err, "NoSuchBucket") || contains(err, "s3blob") || contains(err, `"k"`) {
			t.Errorf("Put: %v", err)
		}
	})
}

// recording keeps the bodies of requests that create buckets.
type recording struct {
	base   http.RoundTripper
	bodies []string
}

func (r *recording) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPut && request.Body != nil {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		r.bodies = append(r.bodies, string(body))
		request.Body = io.NopCloser(strings.NewReader(string(body)))
	}
	return r.base.RoundTrip(request)
}

func TestCreateBucketInARegion(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]bool{"eu-central-1": true, "us-east-1": false} {
		server := &recording{base: newFake()}
		f := unmade(t, nowhere, region, server)
		if err := f.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(strings.Join(server.bodies, ""), "<LocationConstraint>"+region+"<")
		if said != want {
			t.Errorf("%s: bodies %q name the region: %v, want %v", region, server.bodies, said, want)
		}
	}
}

// TestCreateBucketWaits has a bucket that is there only some time after it was
// created.
func TestCreateBucketWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := unmade(t, nowhere, "us-east-1", newFake())
		head := func(c faulttest.Call) bool { return c.Request.Method == http.MethodHead }
		absent := f.faults.Inject(faulttest.Fault{Match: head, Times: 5, Status: 404})
		if err := f.CreateBucket(t.Context()); err != nil || absent.Hit() != 5 {
			t.Errorf("%v after %d answers that it is not there", err, absent.Hit())
		}
	})
}

func TestCreateBucketRefused(t *testing.T) {
	t.Parallel()
	elsewhere := http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}}
	conflict := func(code string) faulttest.Fault {
		return faulttest.Fault{Match: isPut, Status: 409, Body: "<Error><Code>" + code + "</Code></Error>"}
	}
	absent := faulttest.Fault{Times: 1, Status: 404}
	for _, c := range []struct {
		name   string
		faults []faulttest.Fault
		want   string
	}{
		{"other region", []faulttest.Fault{{Status: 301, Header: elsewhere}}, "eu-west-1"},
		{"somebody else's", []faulttest.Fault{{Status: 403}}, "somebody else's"},
		{"taken meanwhile", []faulttest.Fault{absent, conflict("BucketAlreadyExists"), {Status: 403}}, "somebody else's"},
		{"never there", []faulttest.Fault{absent, conflict("BucketAlreadyOwnedByYou"), {Status: 404, Delay: time.Millisecond}}, "exceeded max wait time"},
		{"refused", []faulttest.Fault{absent, {Match: isPut, Status: 403, Body: "<Error><Code>AccessDenied</Code></Error>"}}, "AccessDenied"},
		{"down", []faulttest.Fault{{Status: 503}}, "503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				f := unmade(t, nowhere, "us-east-1", newFake())
				for _, fault := range c.faults {
					f.faults.Inject(fault)
				}
				begin := time.Now()
				err := f.CreateBucket(t.Context())
				if err == nil || !contains(err, c.want) || !contains(err, bucket) {
					t.Errorf("got %v, want an error about %q that names the bucket", err, c.want)
				}
				if took := time.Since(begin); took > 3*time.Minute {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
