package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/memcache"
)

// secret is what no output may hold. Amazon's secrets have slashes and pluses.
const secret = "wJalr/XUt+nFE"

func TestTableURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]dynamoTable{
		"dynamodb://us-east-1/reports": {service: &service{location: &location{host: "us-east-1", name: "reports"}}},
		"dynamodb://AKIA:" + secret + "@127.0.0.1:8000/reports": {service: &service{
			location: &location{key: "AKIA", secret: secret, host: "127.0.0.1:8000", name: "reports"}}},
		"dynamodb://AKIA:a%2Fb%3A%40+@us-gov-west-1/t?partitions=4&lateness=1m&retention=720h": {service: &service{
			location: &location{key: "AKIA", secret: "a/b:@+", host: "us-gov-west-1", name: "t"}},
			opts: dynamoindex.Options{Partitions: 4, Lateness: time.Minute, Retention: 720 * time.Hour}},
		"dynamodb://k:a@b:c@[::1]:8000/t?region=eu-west-1&tls=true": {service: &service{
			location: &location{key: "k", secret: "a@b:c", host: "[::1]:8000", name: "t"}, signFor: "eu-west-1", tls: true}},
		"dynamodb://db/t?read-units=20&attempts=3&timeout=1s&attempt-timeout=500ms": {service: &service{
			location: &location{host: "db", name: "t"}},
			opts:    dynamoindex.Options{Attempts: 3, Timeout: time.Second, AttemptTimeout: time.Second / 2},
			created: dynamoindex.TableOptions{Provisioned: true, Read: 20}},
	} {
		t.Run(hideSecrets(url), func(t *testing.T) {
			t.Parallel()
			got, err := parseTable(url)
			if err != nil {
				t.Fatal(err)
			}
			l, w := got.location, want.location
			if l.key != w.key || l.secret != w.secret || l.host != w.host || l.name != w.name ||
				got.signFor != want.signFor || got.tls != want.tls || got.created != want.created {
				t.Errorf("got %+v, %+v, %+v", *l, *got.service, got.created)
			}
			got.opts.Registerer, got.opts.Now = nil, nil
			if a, b := got.opts, want.opts; a.Partitions != b.Partitions || a.Lateness != b.Lateness || a.Retention != b.Retention ||
				a.Attempts != b.Attempts || a.Timeout != b.Timeout || a.AttemptTimeout != b.AttemptTimeout {
				t.Errorf("got options %+v, want %+v", a, b)
			}
			if strings.Contains(got.String(), got.secret) && got.secret != "" {
				t.Errorf("%v holds the secret", got)
			}
		})
	}
}

// TestEndpoints: a region is Amazon's, anything else a server of that name.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]struct {
		endpoint, region string
		pathStyle        bool
	}{
		"s3://k:s@us-east-1/b":                        {"", "us-east-1", false},
		"s3://k:s@ap-southeast-2/b?path-style=true":   {"", "ap-southeast-2", true},
		"s3://k:s@us-iso-east-1/b":                    {"", "us-iso-east-1", false},
		"s3://k:s@eusc-de-east-1/b":                   {"", "eusc-de-east-1", false},
		"s3://k:s@127.0.0.1:9000/b":                   {"http://127.0.0.1:9000", "us-east-1", true},
		"s3://k:s@us-east-1:9000/b":                   {"http://us-east-1:9000", "us-east-1", true},
		"s3://k:s@minio/b?tls=true&region=eu-north-1": {"https://minio", "eu-north-1", true},
		"s3://k:s@s3.example.com/b?path-style=false":  {"http://s3.example.com", "us-east-1", false},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			b, err := parseBucket(url)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := b.config(t.Context(), warnings(&buffer{}))
			if err != nil {
				t.Fatal(err)
			}
			endpoint := ""
			if cfg.BaseEndpoint != nil {
				endpoint = *cfg.BaseEndpoint
			}
			found, err := cfg.Credentials.Retrieve(context.Background())
			if err != nil || found.AccessKeyID != "k" || found.SecretAccessKey != "s" {
				t.Errorf("credentials of %q, %v", found.AccessKeyID, err)
			}
			if endpoint != want.endpoint || cfg.Region != want.region || b.opts.PathStyle != want.pathStyle {
				t.Errorf("got %q, %q, path style %v", endpoint, cfg.Region, b.opts.PathStyle)
			}
		})
	}
}

func TestCacheURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]cache{
		"memcached://a":               {servers: memcache.List("a:11211")},
		"memcached://a,b:1,[::1]":     {servers: memcache.List("a:11211", "b:1", "[::1]:11211")},
		"memcached+srv://memcached/h": {servers: memcache.SRV("memcached", "h")},
		"memcached://a?selection=jump&ttl=45s&timeout=50ms&max-item=8388608&batch=7&parallel=3&failures=2&cooldown=1s&refresh=30s": {
			servers: memcache.List("a:11211"), opts: memcache.Options{Selection: memcache.Jump, TTL: 45 * time.Second,
				Timeout: 50 * time.Millisecond, MaxItem: 8 << 20, BatchKeys: 7, Parallel: 3, Failures: 2,
				Cooldown: time.Second, Refresh: 30 * time.Second}},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			got, err := parseCache(url)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := got.opts, want.opts; got.servers.String() != want.servers.String() || a.Selection != b.Selection || a.TTL != b.TTL ||
				a.Timeout != b.Timeout || a.MaxItem != b.MaxItem || a.BatchKeys != b.BatchKeys || a.Parallel != b.Parallel ||
				a.Failures != b.Failures || a.Cooldown != b.Cooldown || a.Refresh != b.Refresh {
				t.Errorf("got %v, %+v", got.servers, a)
			}
		})
	}
}

// badPlaces are flags that are wrong usage, and a part of what is said.
var badPlaces = map[string]struct {
	args []string
	want string
}{
	"another scheme":           {[]string{"--index", "https://k:" + secret + "@h/t", "--blobs", "s3://h/b"}, "--index: must begin with dynamodb://"},
	"no scheme":                {[]string{"--index", "k:" + secret + "@h/t", "--blobs", "s3://h/b"}, "must begin with dynamodb://"},
	"no table":                 {[]string{"--index", "dynamodb://k:" + secret + "@us-east-1", "--blobs", "s3://h/b"}, "must be dynamodb://"},
	"no bucket":                {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://k:" + secret + "@h/"}, "--blobs: must be s3://"},
	"no host":                  {[]string{"--index", "dynamodb:///t", "--blobs", "s3://h/b"}, "the host must be"},
	"half of the credentials":  {[]string{"--index", "dynamodb://" + secret + "@h/t", "--blobs", "s3://h/b"}, "key:secret"},
	"no @":                     {[]string{"--index", "dynamodb://k:" + secret + "/h/t", "--blobs", "s3://h/b"}, "the host must be"},
	"a bad escape":             {[]string{"--index", "dynamodb://k:" + secret + "%zz@h/t", "--blobs", "s3://h/b"}, "%2F"},
	"a ? in the secret":        {[]string{"--index", "dynamodb://k:a?" + secret + "@h/t", "--blobs", "s3://h/b"}, "%3F"},
	"a port that is none":      {[]string{"--index", "dynamodb://k:" + secret + "@h:port/t", "--blobs", "s3://h/b"}, "the host must be"},
	"a prefix":                 {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b/prefix"}, "a bucket's name has no slash"},
	"an unknown parameter":     {[]string{"--index", "dynamodb://h/tab?partition=2", "--blobs", "s3://h/b"}, `no parameter "partition", only region, tls, partitions`},
	"one that a region lacks":  {[]string{"--index", "dynamodb://us-east-1/t?tls=true", "--blobs", "s3://h/b"}, `no parameter "tls"`},
	"one of the others":        {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?partitions=2"}, `no parameter "partitions"`},
	"a parameter given twice":  {[]string{"--index", "dynamodb://h/tab?timeout=1s&timeout=2s", "--blobs", "s3://h/b"}, "given 2 times"},
	"no number":                {[]string{"--index", "dynamodb://h/tab?partitions=two", "--blobs", "s3://h/b"}, "must be a whole number"},
	"no duration":              {[]string{"--index", "dynamodb://h/tab?lateness=2", "--blobs", "s3://h/b"}, "must be a duration"},
	"no capacity":              {[]string{"--index", "dynamodb://h/tab?read-units=0", "--blobs", "s3://h/b"}, "above 0"},
	"no size":                  {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?max-blob=big"}, "number of bytes"},
	"no truth":                 {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?path-style=maybe"}, "true or false"},
	"no parameters":            {[]string{"--index", "dynamodb://h/tab?a=%zz", "--blobs", "s3://h/b"}, "parameter=value"},
	"index alone":              {[]string{"--index", "dynamodb://k:" + secret + "@h/t"}, "go together"},
	"blobs alone":              {[]string{"--blobs", "s3://k:" + secret + "@h/b"}, "go together"},
	"cache alone":              {[]string{"--cache", "memcached://h"}, "go with --index and --blobs"},
	"data as well":             {[]string{"--data", "d", "--index", "dynamodb://h/tab", "--blobs", "s3://h/b"}, "--data and --index cannot be used together"},
	"cache with credentials":   {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://k:" + secret + "@h"}, "no credentials"},
	"cache with a path":        {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://h/x"}, "without a path"},
	"record without a host":    {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached+srv://x"}, "memcached+srv://service/host"},
	"cache of no selection":    {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://h?selection=random"}, "modulo or jump"},
	"cache for too long":       {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://127.0.0.1?ttl=1000h"}, "720h"},
	"too many partitions":      {[]string{"--index", "dynamodb://h/tab?partitions=65", "--blobs", "s3://h/b"}, "1 to 64"},
	"more hedges than are fit": {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?hedge=2"}, "0.5"},
	"an argument with secrets": {[]string{"dynamodb://k:" + secret + "@h/t"}, "dynamodb://…@h/t"},
}

// TestBadPlaces: what is wrong is said in one line, without the secret, and
// nothing is done.
func TestBadPlaces(t *testing.T) {
	t.Parallel()
	for name, c := range badPlaces {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"query", "--at", "now"}
			if name == "an argument with secrets" {
				args = append(args, "--data", "d")
			}
			checkUsage(t, collect(t, append(args, c.args...)...), c.want)
		})
	}
}

func checkUsage(t *testing.T, r result, want string) {
	t.Helper()
	if r.code != 2 || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit %d, stderr %q, want 2 and %q", r.code, r.stderr, want)
	}
	if strings.Contains(r.stderr+r.stdout, secret) {
		t.Errorf("it says the secret: %s%s", r.stdout, r.stderr)
	}
}

// TestPlacesInTheEnvironment: a variable is told from an argument, and its
// secret is not said either.
func TestPlacesInTheEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"COLLECTOR_INDEX": "dynamodb://k:" + secret + "@h/t?x=1", "COLLECTOR_BLOBS": "s3://h/b"}
	checkUsage(t, call{args: []string{"import", "x"}, env: env}.run(t.Context()), `no parameter "x"`)
	with := map[string]string{"COLLECTOR_DATA": "d", "COLLECTOR_INDEX": env["COLLECTOR_INDEX"], "COLLECTOR_BLOBS": "s3://h/b"}
	checkUsage(t, call{args: []string{"import", "x"}, env: with}.run(t.Context()), "COLLECTOR_DATA and COLLECTOR_INDEX cannot")
	r := call{args: []string{"query", "--data", "no/such", "--at", "1"}, env: env}.run(t.Context())
	if r.code != 1 || !strings.Contains(r.stderr, "no such file") {
		t.Errorf("--data beside variables: exit %d, %s", r.code, r.stderr)
	}
}

// TestPlacesInOneText: a comma between two URLs is not one in a secret.
func TestPlacesInOneText(t *testing.T) {
	t.Parallel()
	pl, err := parsePlace("dynamodb://k:a,b@h/t?partitions=2,s3://k:c,d@h/b")
	if err != nil {
		t.Fatal(err)
	}
	if pl.table.secret != "a,b" || pl.table.opts.Partitions != 2 || pl.bucket.secret != "c,d" || pl.bucket.name != "b" {
		t.Errorf("got %v, secrets %q and %q", pl, pl.table.secret, pl.bucket.secret)
	}
}

func TestCopyUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":          {nil, "give --from and --to"},
		"half":             {[]string{"--from", "d"}, "give --from and --to"},
		"arguments":        {[]string{"--from", "d", "--to", "e", "x"}, `"x" is no flag`},
		"one URL":          {[]string{"--from", "dynamodb://k:" + secret + "@h/t", "--to", "d"}, "--from: must be a directory, or"},
		"a bad first URL":  {[]string{"--from", "d", "--to", "s3://k:" + secret + "@h/b,s3://h/b"}, "--to: the first URL: must begin with dynamodb://"},
		"a bad second URL": {[]string{"--from", "d", "--to", "dynamodb://h/t,s3://k:" + secret + "@h/b?x=1"}, "--to: the second URL: there is no parameter"},
		"no directory yet": {[]string{"--from", "d", "--to", "e", "--create"}, "--create is for tables"},
		"backwards":        {[]string{"--from", "d", "--to", "e", "--start", "2", "--end", "1"}, "before --start"},
		"a bad tenant":     {[]string{"--from", "d", "--to", "e", "--tenant", "a b"}, "tenant id"},
		"nothing at once":  {[]string{"--from", "d", "--to", "e", "--parallel", "0"}, "at least 1"},
		"beyond all time":  {[]string{"--from", "d", "--to", "e", "--end", "+2562000h"}, "2262"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkUsage(t, collect(t, append([]string{"copy"}, c.args...)...), c.want)
		})
	}
}
