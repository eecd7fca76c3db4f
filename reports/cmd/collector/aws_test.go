package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// tables counts the tables of tests, which share servers.
var tables atomic.Int64

// newTable returns the URL of a table that does not exist yet.
func newTable(t *testing.T, dynamo func(testing.TB) string) string {
	t.Helper()
	server := strings.TrimPrefix(dynamo(t), "http://")
	return fmt.Sprintf("dynamodb://%s:%s@%s/reports-%d", servertest.AccessKey, servertest.SecretKey, server, tables.Add(1))
}

// newBucket returns the URL of a bucket that does not exist yet.
func newBucket(t *testing.T) string {
	t.Helper()
	s3, _ := servertest.VersityGW(t)
	return fmt.Sprintf("s3://%s:%s@%s/reports", s3.AccessKey, s3.SecretKey, strings.TrimPrefix(s3.Endpoint, "http://"))
}

// create creates a table and a bucket, and returns the flags that name them.
func create(t *testing.T, index, blobs string) []string {
	t.Helper()
	pl := must1(stores.Parse("--to", index+","+blobs))
	pl.Create = true
	s, err := pl.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(&buffer{})})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return []string{"--index", index, "--blobs", blobs}
}

// onServers returns a function that makes stores of a table, a bucket and a cache.
func onServers(dynamo func(testing.TB) string) newStore {
	return func(t *testing.T) []string {
		t.Helper()
		cache, _ := servertest.Memcached(t)
		return append(create(t, newTable(t, dynamo), newBucket(t)), "--cache", "memcached://"+cache)
	}
}

func TestEndToEndOnDynamoDBLocal(t *testing.T) {
	t.Parallel()
	checkStore(t, onServers(servertest.SharedDynamoDBLocal))
}

func TestEndToEndOnDynalite(t *testing.T) {
	t.Parallel()
	checkStore(t, onServers(servertest.SharedDynalite))
}

// TestCreate checks that --create creates what is missing and keeps what exists.
func TestCreate(t *testing.T) {
	t.Parallel()
	path := goldentest.Files(t, "hosts/*/*")[0]
	store := []string{"--index", newTable(t, servertest.SharedDynamoDBLocal), "--blobs", newBucket(t)} // dynalite has no TTL
	for i, want := range []string{"imported 1 report: 1 stored", "imported 1 report: 0 stored"} {
		said := must(t, append([]string{"import", "--create", path}, store...)...)
		if !strings.HasPrefix(said, want) {
			t.Errorf("import %d said %q", i, said)
		}
	}
	s := serveWithin(t, append([]string{"--create", "--retention", "24h"}, store...)...)
	must(t, "push", "--to", s.url, path)
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
	if strings.Contains(s.said(), servertest.SecretKey) || !strings.Contains(s.said(), "store=dynamodb://127.0.0.1:") {
		t.Errorf("it logged %s", s.said())
	}
	r := collect(t, append([]string{"serve", "--retention", "24h", "--listen", "127.0.0.1:0", "--blobs", store[3], "--index"}, store[1]+"?retention=48h")...)
	checkUsage(t, r, "cannot be used together")
}

// TestAlone checks that a collector answers about the present with what was stored shortly before its start.
// A collector that shares its store does not.
func TestAlone(t *testing.T) {
	t.Parallel()
	store := create(t, newTable(t, servertest.SharedDynalite), newBucket(t))
	now := filepath.Join(t.TempDir(), fmt.Sprintf("%d.json", time.Now().UnixNano()))
	must(t, append([]string{"import", write(t, now, sample("before", 1))}, store...)...)
	for _, flag := range []string{"", "--alone", "--alone=false", "--role=collector"} {
		alone := flag == "" || flag == "--alone"
		s := serveWithin(t, append(strings.Fields("--window 10m "+flag), store...)...)
		live := must(t, "query", "--json", "--from", s.url, "--at", "now")
		if strings.Contains(live, "before;<host>") != alone {
			t.Errorf("%q: the present is %s", flag, live)
		}
		if code := s.stop(); code != 0 {
			t.Errorf("exit %d: %s", code, s.said())
		}
	}
}

// cacheHit is the metric of a collector that found a blob in its cache.
var cacheHit = regexp.MustCompile(`(?m)^scope_memcache_hits_total [1-9]`)

// TestCacheDies checks that a collector without its cache answers from the bucket and still flushes.
func TestCacheDies(t *testing.T) {
	t.Parallel()
	address, server := servertest.Memcached(t)
	store := append(create(t, newTable(t, servertest.SharedDynalite), newBucket(t)), "--cache", "memcached://"+address)
	s := serveWithin(t, append([]string{"--tick", "100ms", "--window", "1s", "--memory", "1B"}, store...)...)
	files := goldentest.Files(t, "k8s-node/*")
	path, next := files[0], files[1] // two, since the same report within a window counts once
	want := []byte(must(t, "inspect", "--upgrade", "--json", path))
	ask := func() []byte {
		return []byte(must(t, "query", "--json", "--from", s.url, "--start", "-1h", "--end", "+1h"))
	}
	must(t, "push", "--to", s.url, path)
	for start := time.Now(); !cacheHit.MatchString(metrics(t, s.url)); {
		goldentest.Equal(t, ask(), want, anyID)
		if time.Since(start) > time.Minute {
			t.Fatal("the cache is not used")
		}
	}
	server.Kill()
	goldentest.Equal(t, ask(), want, anyID)
	must(t, "push", "--to", s.url, next)
	goldentest.Equal(t, ask(), []byte(must(t, "merge", "--json", path, next)), anyID)
	for _, want := range []string{"scope_dynamo_request_duration_seconds_count{", "scope_s3_request_duration_seconds_count{"} {
		if !strings.Contains(metrics(t, s.url), want) {
			t.Errorf("no %s among the metrics", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
	said := must(t, append([]string{"query", "--start", "-1h", "--end", "+1h"}, store...)...)
	if !strings.Contains(said, "2 stored values\n") {
		t.Errorf("said %s", said)
	}
}

// metrics returns the text of /metrics.
func metrics(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return string(must1(io.ReadAll(resp.Body)))
}

// TestFaultsAreReadable checks that errors which the user can fix say so in one line.
func TestFaultsAreReadable(t *testing.T) {
	t.Parallel()
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	create(t, index, blobs)
	path := goldentest.Files(t, "hosts/*/*")[0]
	for name, c := range map[string]struct{ index, blobs, want string }{
		"no server for the index": {"dynamodb://k:" + secret + "@127.0.0.1:1/table", blobs, "dynamodb://127.0.0.1:1/table: connection refused"},
		"no server for the blobs": {index, "s3://k:" + secret + "@127.0.0.1:1/b", "s3://127.0.0.1:1/b: connection refused"},
		"no such table":           {index + "x", blobs, "there is no such table: --create makes it"},
		"no such bucket":          {index, blobs + "x", "there is no such bucket: --create makes it"},
		"a wrong secret":          {index, strings.Replace(blobs, servertest.SecretKey, secret, 1), "the credentials were refused: SignatureDoesNotMatch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := collect(t, "import", path, "--index", c.index, "--blobs", c.blobs)
			if r.code != 1 || !strings.Contains(r.stderr, c.want) || strings.Contains(r.stderr, secret) {
				t.Errorf("exit %d, %s, want %q", r.code, r.stderr, c.want)
			}
			if lines := strings.Count(r.stderr, "\n"); lines != 2 { // the file's, and how many failed
				t.Errorf("%d lines: %s", lines, r.stderr)
			}
		})
	}
	r := collect(t, "import", "--create", path, "--index", "dynamodb://k:s@127.0.0.1:1/table", "--blobs", blobs)
	if r.code != 1 || !strings.Contains(r.stderr, "dynamodb://127.0.0.1:1/table: connection refused") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("--create: exit %d, %s", r.code, r.stderr)
	}
}

// TestNoCredentials checks that the SDK's chain is asked when the URL holds no credentials.
func TestNoCredentials(t *testing.T) {
	t.Parallel()
	blobs := newBucket(t)
	index := newTable(t, servertest.SharedDynalite)
	create(t, index, blobs)
	_, address, _ := strings.Cut(blobs, "@")
	args := []string{"import", goldentest.Files(t, "hosts/*/*")[0], "--index", index, "--blobs", "s3://" + address}
	none := filepath.Join(t.TempDir(), "none")
	plain := []string{asCommand + "=1", "HOME=" + t.TempDir(), "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none,
		"AWS_EC2_METADATA_DISABLED=true"}
	for want, env := range map[string][]string{
		"collector: " + args[1] + ": s3://" + address + ": no credentials found: set AWS_ACCESS_KEY_ID": plain,
		"": append(plain, "AWS_ACCESS_KEY_ID="+servertest.AccessKey, "AWS_SECRET_ACCESS_KEY="+servertest.SecretKey),
	} {
		stderr := &buffer{}
		cmd := child(args...)
		cmd.Env, cmd.Stderr = env, stderr
		err := cmd.Run()
		if (err == nil) != (want == "") || !strings.HasPrefix(stderr.String(), want) || want == "" && stderr.String() != "" {
			t.Errorf("%v, said %s, want %q", err, stderr, want)
		}
	}
}
