package stores

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/memcache"
)

func TestTableURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]dynamoTable{
		"dynamodb://us-east-1/reports": {service: &service{location: &location{host: "us-east-1", name: "reports"}}},
		"dynamodb://AKIA:" + secret + "@127.0.0.1:8000/reports": {service: &service{
			location: &location{key: "AKIA", secret: secret, host: "127.0.0.1:8000", name: "reports"}}},
		"dynamodb://AKIA:a%2Fb%3A%40+@us-gov-west-1/t?retention=720h": {service: &service{
			location: &location{key: "AKIA", secret: "a/b:@+", host: "us-gov-west-1", name: "t"}},
			opts: dynamoindex.Options{Retention: 720 * time.Hour}},
		"dynamodb://k:a@b:c@[::1]:8000/t?region=eu-west-1&tls=true": {service: &service{
			location: &location{key: "k", secret: "a@b:c", host: "[::1]:8000", name: "t"}, signFor: "eu-west-1", tls: true}},
		"dynamodb://db/t?read-units=20&attempts=3&timeout=1s&attempt-timeout=500ms": {service: &service{
			location: &location{host: "db", name: "t"}},
			opts:    dynamoindex.Options{Attempts: 3, Timeout: time.Second, AttemptTimeout: time.Second / 2},
			created: dynamoindex.TableOptions{Provisioned: true, Read: 20}},
	} {
		t.Run(HideSecrets(url), func(t *testing.T) {
			t.Parallel()
			got, err := parseTable("--index", url)
			if err != nil {
				t.Fatal(err)
			}
			l, w := got.location, want.location
			if l.key != w.key || l.secret != w.secret || l.host != w.host || l.name != w.name ||
				got.signFor != want.signFor || got.tls != want.tls || got.created != want.created {
				t.Errorf("got %+v, %+v, %+v", *l, *got.service, got.created)
			}
			got.opts.Registerer, got.opts.Now = nil, nil
			if a, b := got.opts, want.opts; a.Retention != b.Retention ||
				a.Attempts != b.Attempts || a.Timeout != b.Timeout || a.AttemptTimeout != b.AttemptTimeout {
				t.Errorf("got options %+v, want %+v", a, b)
			}
			if strings.Contains(got.String(), got.secret) && got.secret != "" {
				t.Errorf("%v holds the secret", got)
			}
		})
	}
}

// TestEndpoints checks that a region is Amazon's, any other host is a server.
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
			b, err := parseBucket("--blobs", url)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := b.config(t.Context(), slog.New(slog.DiscardHandler))
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
		"memcached://a":                {servers: memcache.List("a:11211")},
		"memcached://a?sums-only=true": {servers: memcache.List("a:11211"), sumsOnly: true},
		"memcached://a,b:1,[::1]":      {servers: memcache.List("a:11211", "b:1", "[::1]:11211")},
		"memcached+srv://memcached/h":  {servers: memcache.SRV("memcached", "h")},
		"memcached://a?ttl=45s&timeout=50ms&max-item=8388608&batch=7&parallel=3&failures=2&cooldown=1s&refresh=30s": {
			servers: memcache.List("a:11211"), opts: memcache.Options{TTL: 45 * time.Second,
				Timeout: 50 * time.Millisecond, MaxItem: 8 << 20, BatchKeys: 7, Parallel: 3, Failures: 2,
				Cooldown: time.Second, Refresh: 30 * time.Second}},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			got, err := parseCache(url)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := got.opts, want.opts; got.servers.String() != want.servers.String() || a.TTL != b.TTL ||
				a.Timeout != b.Timeout || a.MaxItem != b.MaxItem || a.BatchKeys != b.BatchKeys || a.Parallel != b.Parallel ||
				a.Failures != b.Failures || a.Cooldown != b.Cooldown || a.Refresh != b.Refresh || got.sumsOnly != want.sumsOnly {
				t.Errorf("got %v, %+v", got.servers, a)
			}
		})
	}
}

// badPlaces are flags that are wrong usage, and a part of the message.
// TestBadPlaces checks that the message is one line without the secret, and that nothing is done.
// TestPlacesInTheEnvironment checks that a variable is told from an argument, and its
// secret is not said either.
// TestPlacesInOneText checks that a comma between two URLs is not one in a secret.
func TestPlacesInOneText(t *testing.T) {
	t.Parallel()
	pl, err := Parse("--to", "dynamodb://k:a,b@h/t?attempts=2,s3://k:c,d@h/b")
	if err != nil {
		t.Fatal(err)
	}
	if pl.table.secret != "a,b" || pl.table.opts.Attempts != 2 || pl.bucket.secret != "c,d" || pl.bucket.name != "b" {
		t.Errorf("got %v, secrets %q and %q", pl, pl.table.secret, pl.bucket.secret)
	}
}

// secret is what no output may hold. Secrets of Amazon have slashes and pluses.
const secret = "wJalr/XUt+nFE"
