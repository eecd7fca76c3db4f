package s3blob_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(testing.TB) (string, *http.Transport)
		opts  s3blob.Options
	}{
		{"versitygw", startVersity, s3blob.Options{}},
		{"versitygw, unconditional", startVersity, s3blob.Options{Unconditional: true}},
		{"gofakes3", startFake, s3blob.Options{}},
		{"gofakes3, unconditional", startFake, s3blob.Options{Unconditional: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint, transport := c.start(t)
			f := open(t, endpoint, transport, c.opts)
			open := func(*testing.T) tiered.Tier { return f }
			tiertest.Run(t, open)
			tiertest.RunLister(t, open)
		})
	}
}

// TestOwnHTTPClient is the tier with the connections that it keeps itself:
// after Close none are left, which goleak sees.
func TestOwnHTTPClient(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, _ *http.Transport) {
		cfg := config(endpoint, nil)
		cfg.HTTPClient = nil
		tier, err := s3blob.Open(cfg, bucket, pathStyle(s3blob.Options{AttemptTimeout: time.Minute, Timeout: 2 * time.Minute}))
		if err != nil {
			t.Fatal(err)
		}
		defer tier.Close()
		if err := tier.CreateBucket(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := blobs(100, 1000)
		mustPut(t, tier, want)
		got, err := tiertest.Found(t.Context(), tier, keysOf(want))
		if err != nil || same(got, want) != nil {
			t.Fatalf("Get: %v, %v", err, same(got, want))
		}
	})
}

// TestRedirect sends the tier's own client elsewhere, where it must not go: its
// signature is for one host.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	cfg := config(server.URL, nil)
	cfg.HTTPClient = awshttp.NewBuildableClient()
	tier, err := s3blob.Open(cfg, bucket, pathStyle(s3blob.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer tier.Close()
	if got, err := tiertest.Found(t.Context(), tier, []string{"k"}); err == nil || len(got) != 0 || calls.Load() != 1 {
		t.Errorf("%d blobs and %v after %d requests", len(got), err, calls.Load())
	}
}

// TestLayout reads with the plain SDK what the tier wrote: the key and the
// bytes as they are, and a checksum.
func TestLayout(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, transport *http.Transport) {
		f := open(t, endpoint, transport, s3blob.Options{ContentType: "application/x-blob"})
		key, blob := "5d41402abc4b2a76b9719d911017c592/1500000000123456789", []byte("\x1f\x8bblob")
		mustPut(t, f, map[string][]byte{key: blob})
		list, err := f.plain.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Contents) != 1 || aws.ToString(list.Contents[0].Key) != key {
			t.Fatalf("objects %+v, want one of key %q", list.Contents, key)
		}
		if got := f.stored(t, key); !bytes.Equal(got, blob) {
			t.Errorf("body %q, want %q", got, blob)
		}
		head, err := f.plain.HeadObject(t.Context(), &s3.HeadObjectInput{
			Bucket: aws.String(bucket), Key: aws.String(key), ChecksumMode: types.ChecksumModeEnabled,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := aws.ToString(head.ContentType); got != "application/x-blob" {
			t.Errorf("content type %q", got)
		}
		if crc := aws.ToString(head.ChecksumCRC32); crc != "FE/qvg==" {
			t.Errorf("CRC-32 %q", crc)
		}
	})
}

// TestScopesObjects reads objects as Scope wrote them: without a checksum and
// a content type.
func TestScopesObjects(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, transport *http.Transport) {
		f := open(t, endpoint, transport, s3blob.Options{})
		want := blobs(20, 3000)
		f.putPlain(t, want)
		got, err := tiertest.Found(t.Context(), f, keysOf(want))
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Error(err)
		}
	})
}

// TestPutLeavesTheBlobAlone changes the bytes as soon as a Put that was cut
// off returned, for the race detector to see who still reads them.
func TestPutLeavesTheBlobAlone(t *testing.T) {
	t.Parallel()
	endpoint, transport := startFake(t)
	f := open(t, endpoint, transport, s3blob.Options{})
	for delay := time.Millisecond; delay <= 64*time.Millisecond; delay *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		blob := bytes.Repeat([]byte{1}, 8_000_000)
		err := f.Put(ctx, tiertest.Key(), blob)
		clear(blob)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", delay, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := config(nowhere, nil)
	noRegion := good.Copy()
	noRegion.Region = ""
	for _, c := range []struct {
		name   string
		cfg    aws.Config
		bucket string
		opts   s3blob.Options
		want   string
	}{
		{"no bucket", good, "", s3blob.Options{}, "bucket"},
		{"no region", noRegion, bucket, s3blob.Options{}, "region"},
		{"parallel", good, bucket, s3blob.Options{Parallel: -1}, "Parallel"},
		{"negative blob", good, bucket, s3blob.Options{MaxBlob: -1}, "MaxBlob"},
		{"huge blob", good, bucket, s3blob.Options{MaxBlob: 5<<30 + 1}, "MaxBlob"},
		{"attempt timeout", good, bucket, s3blob.Options{AttemptTimeout: -1}, "AttemptTimeout"},
		{"timeout", good, bucket, s3blob.Options{Timeout: -1}, "Timeout"},
		{"attempts", good, bucket, s3blob.Options{Attempts: -1}, "Attempts"},
		{"negative rate", good, bucket, s3blob.Options{RetryRate: -0.1}, "RetryRate"},
		{"no rate", good, bucket, s3blob.Options{RetryRate: math.NaN()}, "RetryRate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := s3blob.Open(c.cfg, c.bucket, &c.opts); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error about %s", err, c.want)
			}
		})
	}
}

// TestKeysAreReadOnce asks for a key many times in one call.
func TestKeysAreReadOnce(t *testing.T) {
	t.Parallel()
	f := fake(t, s3blob.Options{})
	want := blobs(3, 100)
	mustPut(t, f, want)
	all := f.faults.Inject(faulttest.Fault{Pass: true})
	got, err := tiertest.Found(t.Context(), f, slices.Repeat(keysOf(want), 5))
	if err != nil || same(got, want) != nil || all.Seen() != 3 {
		t.Errorf("%v, %v, %d requests", err, same(got, want), all.Seen())
	}
}

// TestPlainPut looks at a put over TLS: it is the blob and nothing else, with
// its checksum in a header, because not every server understands the SDK's
// chunks with a checksum behind them.
func TestPlainPut(t *testing.T) {
	t.Parallel()
	f := open(t, "https://s3.test", newFake(), s3blob.Options{})
	var header http.Header
	var length int64
	f.faults.Inject(faulttest.Fault{Match: func(c faulttest.Call) bool {
		header, length = c.Request.Header.Clone(), c.Request.ContentLength
		return false
	}})
	mustPut(t, f, map[string][]byte{"k": []byte("\x1f\x8bblob")})
	if length != 6 || header.Get("X-Amz-Checksum-Crc32") != "FE/qvg==" || header.Get("Content-Encoding") != "" || header.Get("X-Amz-Trailer") != "" {
		t.Errorf("%d bytes with header %v", length, header)
	}
	if header.Get("If-None-Match") != "*" || header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("header %v", header)
	}
}

// TestParallelIsTheTiers has several callers read at once: together they have
// as many GETs under way as one may, and no more.
func TestParallelIsTheTiers(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{Parallel: 4})
		want := blobs(20, 100)
		mustPut(t, f, want)
		f.faults.Inject(faulttest.Fault{Match: isGet, Delay: time.Second})
		begin, errs := time.Now(), make(chan error, 5)
		for range 5 {
			go func() {
				got, err := tiertest.Found(t.Context(), f, keysOf(want))
				errs <- errors.Join(err, same(got, want))
			}()
		}
		for range 5 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); f.faults.Peak() != 4 || took != 25*time.Second {
			t.Errorf("%d GETs at a time and 100 of a second in %v, want 4 and 25s", f.faults.Peak(), took)
		}
	})
}
