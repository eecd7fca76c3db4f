package s3blob_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// TestLatePut has a server that carries out every PUT and answers later than an
// attempt waits: the object is stored once, and its Put says so.
func TestLatePut(t *testing.T) {
	t.Parallel()
	for _, unconditional := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			f := fake(t, s3blob.Options{Unconditional: unconditional})
			late := f.faults.Inject(faulttest.Fault{Match: isPut, Applied: true, Hang: true, Times: 1})
			key, blob := tiertest.Key(), tiertest.Blob(5000)
			begin := time.Now()
			if err := f.Put(t.Context(), key, blob); err != nil || time.Since(begin) > 5*time.Second || late.Hit() != 1 {
				t.Errorf("unconditional %t: got error %v after %v and %d late answers", unconditional, err, time.Since(begin), late.Hit())
			}
			if got := f.stored(t, key); !bytes.Equal(got, blob) {
				t.Errorf("unconditional %t: %d other bytes are stored", unconditional, len(got))
			}
		})
	}
}

// TestPutAgain repeats a Put that ran out of time, as a collector does: the
// object of the first call is recognised by the second, and by no third.
func TestPutAgain(t *testing.T) {
	t.Parallel()
	for _, unconditional := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			f := fake(t, s3blob.Options{Unconditional: unconditional})
			f.faults.Inject(faulttest.Fault{Match: isPut, Applied: true, Hang: true})
			key, blob := tiertest.Key(), tiertest.Blob(5000)
			attempt := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				return f.Put(ctx, key, blob)
			}
			if err := attempt(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the first Put: got error %v, want the context's", err)
			}
			if err := attempt(); err != s3blob.ErrOwn || !errors.Is(err, fs.ErrExist) {
				t.Errorf("the second Put: got error %v, want ErrOwn", err)
			}
			f.faults.Heal()
			if err := attempt(); err != fs.ErrExist {
				t.Errorf("a third Put: got error %v, want fs.ErrExist", err)
			}
		})
	}
}

// TestAnAnswerThatIsNotOfS3 answers a put with status 200 and an error, or with nothing, as a proxy may do, and stores nothing. Put
// does not take that for success, and stores the blob when it is called again.
func TestAnAnswerThatIsNotOfS3(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>", "<html>sign in</html>"} {
		for _, unconditional := range []bool{false, true} {
			inBubble(t, func(t *testing.T) {
				f := fake(t, s3blob.Options{Unconditional: unconditional})
				f.faults.Inject(faulttest.Fault{Match: isPut, Status: 200, Body: body, Times: 1})
				key, blob := tiertest.Key(), tiertest.Blob(100)
				err := f.Put(t.Context(), key, blob) // nil if the SDK has tried again
				if err != nil {
					err = f.Put(t.Context(), key, blob)
				}
				if err != nil {
					t.Errorf("%q: got error %v", body, err)
				}
				if got := f.stored(t, key); !bytes.Equal(got, blob) {
					t.Errorf("%q: %d other bytes are stored", body, len(got))
				}
			})
		}
	}
}

// TestAnothersPut checks that after a Put of unknown outcome the key may turn out to be
// another writer's, and other bytes are never taken for one's own.
func TestAnothersPut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{Attempts: 1})
		other, err := s3blob.Open(config(nowhere, f.faults), bucket, pathStyle(s3blob.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		key, blob := tiertest.Key(), tiertest.Blob(100)
		f.faults.Inject(faulttest.Fault{Match: isPut, Times: 1}) // nothing is stored
		if err := f.Put(t.Context(), key, blob); err == nil || errors.Is(err, fs.ErrExist) {
			t.Fatalf("the first Put: got error %v", err)
		}
		if err := other.Put(t.Context(), key, blob); err != nil {
			t.Fatal(err)
		}
		if err := f.Put(t.Context(), key, blob); !errors.Is(err, fs.ErrExist) {
			t.Errorf("the key is another writer's, with equal bytes: got error %v, want fs.ErrExist", err)
		}
		key = tiertest.Key()
		f.faults.Inject(faulttest.Fault{Match: isPut, Times: 1, Applied: true})
		if err := f.Put(t.Context(), key, blob); err == nil {
			t.Fatal("the answer was lost, and Put returned nil")
		}
		if err := f.Put(t.Context(), key, tiertest.Blob(100)); !errors.Is(err, fs.ErrExist) {
			t.Errorf("other bytes under the key: got error %v, want fs.ErrExist", err)
		}
	})
}

// older is a RoundTripper in front of a server that answers puts with headers
// that it does not know as older servers do.
type older struct {
	base    http.RoundTripper
	refuses []string // headers
	status  int
	code    string
}

func (o *older) RoundTrip(request *http.Request) (*http.Response, error) {
	for _, header := range o.refuses {
		if request.Method == http.MethodPut && request.Header.Get(header) != "" {
			body := "<Error><Code>" + o.code + "</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>"
			return faulttest.NewTransport(&answering{o.status, body}, 1).RoundTrip(request)
		}
	}
	return o.base.RoundTrip(request)
}

// answering is a server that always answers the same.
type answering struct {
	status int
	body   string
}

func (a *answering) RoundTrip(request *http.Request) (*http.Response, error) {
	transport := faulttest.NewTransport(http.DefaultTransport, 1)
	transport.Inject(faulttest.Fault{Status: a.status, Body: a.body})
	return transport.RoundTrip(request)
}

// TestOlderServers checks that a server that refuses a header is sent another form, or
// Put says what to set, at once, and Fault until it is mended.
func TestOlderServers(t *testing.T) {
	t.Parallel()
	const conditional, checksum = "If-None-Match", "X-Amz-Checksum-Crc32"
	for _, c := range []struct {
		name          string
		refuses       []string
		status        int
		code          string
		unconditional bool
		stored        bool
		says          string // in the log
	}{
		{"no conditions", []string{conditional}, 501, "NotImplemented", false, false, "unconditional=true"},
		{"no conditions, 400", []string{conditional}, 400, "InvalidArgument", false, false, "unconditional=true"},
		{"no checksums", []string{checksum}, 501, "NotImplemented", false, true, "Content-MD5"},
		{"no checksums, 400", []string{checksum}, 400, "InvalidRequest", false, true, "Content-MD5"},
		{"neither", []string{conditional, checksum}, 501, "NotImplemented", false, false, "unconditional=true"},
		{"neither, told so", []string{conditional, checksum}, 501, "NotImplemented", true, true, "Content-MD5"},
		{"no puts at all", []string{conditional, checksum, "Content-Md5"}, 501, "NotImplemented", true, false, "refuses puts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T) {
				var log bytes.Buffer
				server := &older{newFake(), c.refuses, c.status, c.code}
				f := open(t, nowhere, server, s3blob.Options{Unconditional: c.unconditional, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				want := blobs(3, 100)
				for key, blob := range want {
					err := f.Put(t.Context(), key, blob)
					_, unsupported := errors.AsType[*s3blob.UnsupportedError](err)
					if (err == nil) != c.stored || unsupported == c.stored || (f.Fault() == nil) != c.stored {
						t.Errorf("got error %v and fault %v", err, f.Fault())
					}
					if got := f.stored(t, key); c.stored && !bytes.Equal(got, blob) {
						t.Errorf("%d other bytes are stored", len(got))
					}
				}
				if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), c.says) {
					t.Errorf("the log has %d lines, want one with %q:\n%s", lines, c.says, log.String())
				}
				server.refuses = nil
				if err := f.Put(t.Context(), tiertest.Key(), nil); err != nil || f.Fault() != nil {
					t.Errorf("once the server takes puts: got error %v and fault %v", err, f.Fault())
				}
			})
		})
	}
}

// TestDelete removes objects, as often as it is asked and no others.
func TestDelete(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, endpoint string, transport *http.Transport) {
		f := open(t, endpoint, transport, s3blob.Options{})
		kept, gone := blobs(5, 10), blobs(1003, 5)
		mustPut(t, f, kept)
		mustPut(t, f, gone)
		for range 2 {
			if err := f.Delete(t.Context(), append(keysOf(gone), "never/put")); err != nil {
				t.Fatal(err)
			}
			got, err := tiertest.Found(t.Context(), f, append(keysOf(kept), keysOf(gone)...))
			if err != nil || same(got, kept) != nil {
				t.Errorf("after the deletion: %v, %v", err, same(got, kept))
			}
		}
		if err := f.Delete(t.Context(), nil); err != nil {
			t.Errorf("deletion of nothing: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Delete(ctx, keysOf(kept)); !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled context: got error %v", err)
		}
	})
}

// TestDeleteSaysWhatStays checks that a key that could not be deleted is an error with its
// name.
func TestDeleteSaysWhatStays(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{})
		f.faults.Inject(faulttest.Fault{Status: 200, Body: `<DeleteResult><Error><Key>locked</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>`})
		if err := f.Delete(t.Context(), []string{"free", "locked"}); err == nil || !contains(err, `"locked": AccessDenied`) {
			t.Errorf("got error %v, want one that names the key", err)
		}
	})
}
