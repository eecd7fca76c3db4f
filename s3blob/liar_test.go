package s3blob_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/s3blob"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

func isHead(c faulttest.Call) bool { return c.Request.Method == http.MethodHead }
func isPost(c faulttest.Call) bool { return c.Request.Method == http.MethodPost }
func isList(c faulttest.Call) bool { return isGet(c) && c.Request.URL.Query().Has("list-type") }

// TestTakenByNone has a server refuse a put because the key is taken, and then say that
// there is no object. That is not fs.ErrExist, which a writer of fresh keys takes for its own
// object. A later Put stores the blob.
func TestTakenByNone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{})
		f.faults.Inject(faulttest.Fault{Match: isPut, Status: 412, Body: "<Error><Code>PreconditionFailed</Code></Error>"})
		key, blob := tiertest.Key(), tiertest.Blob(100)
		for range 2 {
			if err := f.Put(t.Context(), key, blob); err == nil || errors.Is(err, fs.ErrExist) {
				t.Errorf("got error %v, want another one", err)
			}
		}
		f.faults.Heal()
		if err := f.Put(t.Context(), key, blob); err != nil || !bytes.Equal(f.stored(t, key), blob) {
			t.Errorf("once the server is right: %v", err)
		}
	})
}

// pages are what a proxy may answer with status 200.
var pages = []string{"", "<html>sign in</html>", "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>"}

// TestHeadOfAProxy answers a HEAD with status 200, as a proxy may do. Put does not take
// that for another writer's object.
func TestHeadOfAProxy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		f := fake(t, s3blob.Options{Attempts: 1})
		f.faults.Inject(faulttest.Fault{Match: isPut, Times: 1}) // nothing is stored
		head := f.faults.Inject(faulttest.Fault{Match: isHead, Status: 200})
		key, blob := tiertest.Key(), tiertest.Blob(100)
		for range 2 {
			if err := f.Put(t.Context(), key, blob); err == nil || errors.Is(err, fs.ErrExist) {
				t.Errorf("got error %v, want another one", err)
			}
		}
		if head.Hit() != 1 {
			t.Errorf("%d HEADs were answered by the proxy, want 1", head.Hit())
		}
		f.faults.Heal()
		if err := f.Put(t.Context(), key, blob); err != nil || !bytes.Equal(f.stored(t, key), blob) {
			t.Errorf("without the proxy: %v", err)
		}
	})
}

// TestAnswersOfAProxy answers GETs, lists and deletions with status 200 and a page. None
// is taken for a blob, for an empty list, or for a deletion. One such answer is retried.
func TestAnswersOfAProxy(t *testing.T) {
	t.Parallel()
	for _, page := range pages {
		for _, times := range []int{1, 0} {
			t.Run(fmt.Sprintf("%.9q/%d", page, times), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T) { answerAsAProxy(t, page, times) })
			})
		}
	}
}

func answerAsAProxy(t *testing.T, page string, times int) {
	f := fake(t, s3blob.Options{})
	key, blob := "p/"+tiertest.Key(), tiertest.Blob(100)
	if err := f.Put(t.Context(), key, blob); err != nil {
		t.Fatal(err)
	}
	once := times == 1
	inject := func(match func(faulttest.Call) bool) {
		f.faults.Inject(faulttest.Fault{Match: match, Status: 200, Body: page, Times: times})
	}
	inject(func(c faulttest.Call) bool { return isGet(c) && !isList(c) })
	got, err := f.Get(t.Context(), []string{key})
	if (err == nil) != once || err == nil && !bytes.Equal(got[0], blob) {
		t.Errorf("get: %q, %v", got, err)
	}
	inject(isList)
	n := 0
	for _, err = range f.List(t.Context(), "p/", 0, 1) {
		n++
	}
	if (err == nil) != once || n != 1 {
		t.Errorf("list: %d keys, %v", n, err)
	}
	inject(isPost)
	err = f.Delete(t.Context(), []string{key})
	f.faults.Heal()
	there := f.stored(t, key) != nil
	if (err == nil) != once || there == once {
		t.Errorf("delete: %v, and the object is there: %v", err, there)
	}
}

// TestListsThatDoNotEnd has a server say that a list goes on, and not how, or where it
// began. The list ends with an error.
func TestListsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", "<NextContinuationToken>again</NextContinuationToken>"} {
		inBubble(t, func(t *testing.T) {
			f := fake(t, s3blob.Options{})
			f.faults.Inject(faulttest.Fault{Match: isList, Status: 200, Body: "<ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>true</IsTruncated>" +
				token + "<Contents><Key>k</Key></Contents></ListBucketResult>"})
			n := 0
			for _, err := range f.List(t.Context(), "", 0, 1) {
				if n++; err == nil && n < 10 {
					continue
				}
				if err == nil || !strings.Contains(err.Error(), "goes on") {
					t.Errorf("%q: got error %v", token, err)
				}
				return
			}
			t.Errorf("%q: the list ended after %d keys without an error", token, n)
		})
	}
}
