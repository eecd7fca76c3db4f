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
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// hanging is a proxy in front of a server. While it hangs it takes requests and answers none.
type hanging struct {
	url   string // the location, through the proxy
	hangs atomic.Bool
	held  atomic.Int64 // requests that were held
}

func hangingProxy(t *testing.T, location string) *hanging {
	t.Helper()
	at := must1(url.Parse(location))
	target := &url.URL{Scheme: "http", Host: at.Host}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	h, ended := &hanging{}, make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.hangs.Load() {
			h.held.Add(1)
			select {
			case <-r.Context().Done():
			case <-ended:
			}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(ended) })
	at.Host = strings.TrimPrefix(server.URL, "http://")
	h.url = at.String()
	return h
}

// TestQueryServiceWhileAStoreHangs lets the table or the bucket of a query service in a process of its own hang. Answers
// about now come from the collectors' memory and name the store, long before a request to the store gives up: it waits
// for 10 minutes, and the client for one.
func TestQueryServiceWhileAStoreHangs(t *testing.T) {
	t.Parallel()
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	store := create(t, index, blobs)
	collector := serveAsProcess(t, append([]string{"--role", "collector", "--tick", "300ms", "--window", "10m"}, store...)...)
	table, bucket := hangingProxy(t, index+"?timeout=10m&attempt-timeout=10m"), hangingProxy(t, blobs+"?timeout=10m&attempt-timeout=10m")
	query := serveAsProcess(t, "--role", "query", "--collectors", strings.TrimPrefix(collector.url, "http://"), "--memory", "1B",
		"--quantum", "1h", "--window", "10m", "--index", table.url, "--blobs", bucket.url)
	must(t, "push", "--to", collector.url, write(t, t.TempDir()+"/1.msgpack.gz", sample("stored", 1)))
	servertest.Eventually(t, "the report is stored", func() bool { return strings.Contains(metrics(t, collector.url), "scope_pending_bytes 0\n") })
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string) (missing, body string) {
		resp, err := client.Get(query.url + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer resp.Body.Close()
		text := must1(io.ReadAll(resp.Body))
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, resp.StatusCode, text)
		}
		return resp.Header.Get("Timeblob-Missing"), string(text)
	}
	servertest.Eventually(t, "the query service answers", func() bool { _, body := ask("/api/report"); return strings.Contains(body, "stored;<host>") })
	for name, h := range map[string]*hanging{"the table": table, "the bucket": bucket} {
		h.hangs.Store(true)
		for _, path := range []string{"/api/report", "/api/probes", "/api/probes?sparse=true", "/api"} {
			if missing, body := ask(path); missing != "store" && h.held.Load() > 0 {
				t.Errorf("while %s hangs, %s is missing %q: %.200s", name, path, missing, body)
			}
		}
		if h.held.Load() == 0 {
			t.Errorf("%s was not asked", name)
		}
		h.hangs.Store(false)
	}
	client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
}
