package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

// awkward is a proxy in front of a bucket that answers puts of objects in its own way.
func awkward(t *testing.T, location string, put func(w http.ResponseWriter, r *http.Request, carryOut func(http.ResponseWriter))) (through string) {
	t.Helper()
	at := must1(url.Parse(location))
	target := &url.URL{Scheme: "http", Host: at.Host}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Count(r.URL.Path, "/") > 1 {
			put(w, r, func(w http.ResponseWriter) { proxy.ServeHTTP(w, r) })
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	at.Host = strings.TrimPrefix(server.URL, "http://")
	return at.String()
}

// TestABucketThatAnswersPutsTooLate carries every put out and answers none of them in
// time. The collector recognises its own objects: each report is stored once, no
// object is left that no entry names, and SIGTERM loses nothing.
func TestABucketThatAnswersPutsTooLate(t *testing.T) {
	t.Parallel()
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	create(t, index, blobs)
	var late atomic.Int64
	through := awkward(t, blobs, func(_ http.ResponseWriter, r *http.Request, carryOut func(http.ResponseWriter)) {
		carryOut(httptest.NewRecorder())
		late.Add(1)
		<-r.Context().Done()
	})
	c := serveAsProcess(t, "--tick", "200ms", "--window", "1s", "--index", index, "--blobs", through+"?attempt-timeout=300ms")
	for _, name := range []string{"one", "two", "three"} {
		must(t, "push", "--to", c.url, write(t, t.TempDir()+"/1.msgpack.gz", sample(name, 1)))
	}
	servertest.Eventually(t, "everything is stored", func() bool {
		return strings.Contains(metrics(t, c.url), "scope_pending_bytes 0\n")
	})
	c.stop()
	if late.Load() == 0 {
		t.Error("no put was answered late")
	}
	raw := openRaw(t, index, blobs)
	objects := must1(raw.s3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &raw.bucket}))
	answer := must(t, "query", "--json", "--start=-1h", "--end=now", "--index", index, "--blobs", blobs)
	entries := len(storedIn(t, must1(stores.Parse("--to", index+","+blobs))))
	if len(objects.Contents) != entries {
		t.Errorf("%d objects, and %d entries", len(objects.Contents), entries)
	}
	for _, name := range []string{"one", "two", "three"} {
		if !strings.Contains(answer, name+";<host>") {
			t.Errorf("%s is not stored", name)
		}
	}
}

// TestABucketWithoutConditionalPuts refuses puts on condition. The collector is not
// ready and says what to set; with that set it stores.
func TestABucketWithoutConditionalPuts(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]string{http.StatusNotImplemented: "NotImplemented", http.StatusBadRequest: "InvalidArgument"} {
		index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
		create(t, index, blobs)
		through := awkward(t, blobs, func(w http.ResponseWriter, r *http.Request, carryOut func(http.ResponseWriter)) {
			if r.Header.Get("If-None-Match") == "" {
				carryOut(w)
				return
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
		})
		journal := t.TempDir()
		c := runServe(t, nil, "--tick", "200ms", "--window", "1s", "--journal", journal, "--index", index, "--blobs", through)
		must(t, "push", "--to", c.url, write(t, t.TempDir()+"/1.msgpack.gz", sample("kept", 1)))
		servertest.Eventually(t, "readyz says what to set", func() bool {
			resp, err := http.Get(c.url + "/readyz")
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			said := string(must1(io.ReadAll(resp.Body)))
			return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(said, "unconditional=true")
		})
		_ = c.cmd.Process.Kill()
		<-c.ended
		again := serveAsProcess(t, "--tick", "200ms", "--window", "1s", "--journal", journal, "--index", index, "--blobs", through+"?unconditional=true")
		servertest.Eventually(t, "the report is stored", func() bool {
			return strings.Contains(metrics(t, again.url), "scope_pending_bytes 0\n")
		})
		again.stop()
		if answer := must(t, "query", "--json", "--start=-1h", "--end=now", "--index", index, "--blobs", blobs); !strings.Contains(answer, "kept;<host>") {
			t.Errorf("status %d: what was posted before is not stored: %.200s", status, answer)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
