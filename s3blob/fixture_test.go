package s3blob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func TestMain(m *testing.M) {
	// A server's connection that was closed waits half a second for its client.
	goleak.VerifyTestMain(servertest.Main(m), goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

const bucket = "reports"

// config is how to reach a server through transport.
func config(endpoint string, transport http.RoundTripper) aws.Config {
	return aws.Config{
		Region: servertest.Region, BaseEndpoint: aws.String(endpoint), HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: servertest.AccessKey, SecretAccessKey: servertest.SecretKey}, nil
		}),
	}
}

// plain is the SDK with no help of this package, and no faults.
func plain(endpoint string, transport http.RoundTripper) *s3.Client {
	return s3.NewFromConfig(config(endpoint, transport), func(o *s3.Options) {
		o.UsePathStyle = true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
}

// fixture is a tier, the faults between it and its server, and a way around
// both.
type fixture struct {
	*s3blob.Tier
	faults *faulttest.Transport
	plain  *s3.Client
}

func pathStyle(opts s3blob.Options) *s3blob.Options {
	opts.PathStyle = true
	return &opts
}

// open returns a tier of a bucket that exists. On a real server it gives up
// only when all is lost, however busy the machine, unless opts say when.
func open(t testing.TB, endpoint string, base http.RoundTripper, opts s3blob.Options) fixture {
	t.Helper()
	if endpoint != nowhere && opts.AttemptTimeout == 0 && opts.Timeout == 0 {
		opts.AttemptTimeout, opts.Timeout = time.Minute, 2*time.Minute
	}
	f := fixture{faults: faulttest.NewTransport(base, 1), plain: plain(endpoint, base)}
	tier, err := s3blob.Open(config(endpoint, f.faults), bucket, pathStyle(opts))
	if err != nil {
		t.Fatal(err)
	}
	if err := tier.CreateBucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Tier = tier
	return f
}

// fake returns a tier on gofakes3 without a network, which is for synctest.
func fake(t testing.TB, opts s3blob.Options) fixture {
	t.Helper()
	return open(t, nowhere, newFake(), opts)
}

// nowhere is where servers are that have no network.
const nowhere = "http://s3.test"

func newFake() http.RoundTripper { return inProcess{gofakes3.New(s3mem.New()).Server()} }

// inProcess is a RoundTripper that calls a server's handler.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(request *http.Request) (*http.Response, error) {
	received := request.Clone(request.Context())
	received.Header.Set("Content-Length", strconv.FormatInt(request.ContentLength, 10))
	if received.Body == nil {
		received.Body = http.NoBody
	}
	defer received.Body.Close()
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, received)
	response := recorder.Result()
	response.Request = request
	return response, nil
}

// server is a kind of S3 that tests can start.
type server struct {
	name  string
	start func(t testing.TB) (endpoint string, transport *http.Transport)
}

var servers = []server{{"versitygw", startVersity}, {"gofakes3", startFake}}

func startVersity(t testing.TB) (string, *http.Transport) {
	t.Helper()
	where, _ := servertest.VersityGW(t)
	return where.Endpoint, newTransport(t)
}

func startFake(t testing.TB) (string, *http.Transport) {
	t.Helper()
	started := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(started.Close)
	return started.URL, newTransport(t)
}

func newTransport(t testing.TB) *http.Transport {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// onEach runs a test on each kind of server.
func onEach(t *testing.T, test func(t *testing.T, endpoint string, transport *http.Transport)) {
	t.Helper()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			endpoint, transport := s.start(t)
			test(t, endpoint, transport)
		})
	}
}

// blobs returns n keys with a blob of the given size each.
func blobs(n, size int) map[string][]byte {
	all := make(map[string][]byte, n)
	for range n {
		all[tiertest.Key()] = tiertest.Blob(size)
	}
	return all
}

func keysOf(blobs map[string][]byte) []string {
	keys := make([]string, 0, len(blobs))
	for key := range blobs {
		keys = append(keys, key)
	}
	return keys
}

// mustPut stores blobs, which must go well.
func mustPut(t testing.TB, tier tiered.Tier, blobs map[string][]byte) {
	t.Helper()
	for key, blob := range blobs {
		if err := tier.Put(t.Context(), key, blob); err != nil {
			t.Fatal(err)
		}
	}
}

// same says how two sets of blobs differ, or nothing.
func same(got, want map[string][]byte) error {
	for key, blob := range want {
		if found, ok := got[key]; !ok || string(found) != string(blob) {
			return fmt.Errorf("key %q: %d bytes, found %v, want %d", key, len(found), ok, len(blob))
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d blobs, want %d", len(got), len(want))
	}
	return nil
}

// stored reads an object around the tier; absent is nil.
func (f fixture) stored(t testing.TB, key string) []byte {
	t.Helper()
	object, err := f.plain.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return nil
	}
	defer object.Body.Close()
	blob, err := io.ReadAll(object.Body)
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

// putPlain stores objects as Scope does: without a checksum, and whatever is
// there.
func (f fixture) putPlain(t testing.TB, blobs map[string][]byte) {
	t.Helper()
	for key, blob := range blobs {
		input := &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(blob)}
		if _, err := f.plain.PutObject(t.Context(), input); err != nil {
			t.Fatal(err)
		}
	}
}

func isGet(c faulttest.Call) bool { return c.Request.Method == http.MethodGet }
func isPut(c faulttest.Call) bool { return c.Request.Method == http.MethodPut }
