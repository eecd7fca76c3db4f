package s3blob_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// lengthless is a RoundTripper whose answers do not say how long they are.
type lengthless struct{ base http.RoundTripper }

func (l lengthless) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.base.RoundTrip(request)
	if err == nil {
		response.Header.Del("Content-Length")
		response.ContentLength = -1
	}
	return response, err
}

// lying is a RoundTripper whose bodies are shorter or longer than they say.
type lying struct {
	base http.RoundTripper
	by   int
}

func (l lying) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.base.RoundTrip(request)
	if err != nil || request.Method != http.MethodGet {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	body = append(body, make([]byte, max(0, l.by))...)
	response.Body = io.NopCloser(bytes.NewReader(body[:len(body)+min(0, l.by)]))
	return response, nil
}

// TestMaxBlob stores and reads blobs of just the size that is allowed, and
// refuses those with a byte more, without reading or retrying.
func TestMaxBlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		wrap func(http.RoundTripper) http.RoundTripper
	}{
		{"length known", func(base http.RoundTripper) http.RoundTripper { return base }},
		{"length unknown", func(base http.RoundTripper) http.RoundTripper { return lengthless{base} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint, transport := startFake(t)
			f := open(t, endpoint, c.wrap(transport), s3blob.Options{MaxBlob: 1000})
			fits := blobs(1, 1000)
			mustPut(t, f, fits)
			if err := f.Put(t.Context(), "large", make([]byte, 1001)); !errors.Is(err, s3blob.ErrTooLarge) || f.stored(t, "large") != nil {
				t.Errorf("Put: %v, and %d bytes are stored", err, len(f.stored(t, "large")))
			}
			f.putPlain(t, map[string][]byte{"large": make([]byte, 1001)})
			got, err := tiertest.Found(t.Context(), f, keysOf(fits))
			if err != nil || same(got, fits) != nil {
				t.Errorf("Get: %v, %v", err, same(got, fits))
			}
			all := f.faults.Inject(faulttest.Fault{Pass: true})
			got, err = tiertest.Found(t.Context(), f, []string{"large"})
			if !errors.Is(err, s3blob.ErrTooLarge) || len(got) != 0 || all.Seen() != 1 {
				t.Errorf("Get: %d blobs and %v after %d requests", len(got), err, all.Seen())
			}
		})
	}
}

// TestHugeLength is told of a body that no memory has room for.
func TestHugeLength(t *testing.T) {
	t.Parallel()
	f := fake(t, s3blob.Options{})
	huge := f.faults.Inject(faulttest.Fault{Status: 200, Header: http.Header{"Content-Length": {"1152921504606846976"}}})
	if got, err := tiertest.Found(t.Context(), f, []string{"k"}); !errors.Is(err, s3blob.ErrTooLarge) || len(got) != 0 || huge.Hit() != 1 {
		t.Errorf("%d blobs and %v after %d requests", len(got), err, huge.Hit())
	}
}

// TestWrongLength gets bodies that are not as long as they say, of objects
// that have no checksum to tell.
func TestWrongLength(t *testing.T) {
	t.Parallel()
	for _, by := range []int{-1, 1} {
		endpoint, transport := startFake(t)
		f := open(t, endpoint, lying{transport, by}, s3blob.Options{Attempts: 2})
		want := blobs(1, 1000)
		f.putPlain(t, want)
		all := f.faults.Inject(faulttest.Fault{Pass: true})
		if got, err := tiertest.Found(t.Context(), f, keysOf(want)); err == nil || len(got) != 0 || all.Seen() != 2 {
			t.Errorf("%+d bytes: %d blobs and %v after %d requests", by, len(got), err, all.Seen())
		}
	}
}
