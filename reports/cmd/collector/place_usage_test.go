package main

import (
	"strings"
	"testing"
)

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
	"no @":                     {[]string{"--index", "dynamodb://k:" + secret + "/h/t", "--blobs", "s3://h/b"}, "the port must be"},
	"a bad escape":             {[]string{"--index", "dynamodb://k:" + secret + "%zz@h/t", "--blobs", "s3://h/b"}, "%2F"},
	"a ? in the secret":        {[]string{"--index", "dynamodb://k:a?" + secret + "@h/t", "--blobs", "s3://h/b"}, "%3F"},
	"a port that is none":      {[]string{"--index", "dynamodb://k:" + secret + "@h:port/t", "--blobs", "s3://h/b"}, "the port must be"},
	"a prefix":                 {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b/prefix"}, "a bucket's name has no slash"},
	"an unknown parameter":     {[]string{"--index", "dynamodb://h/tab?partition=2", "--blobs", "s3://h/b"}, `no parameter "partition", only region, tls, retention`},
	"one that a region lacks":  {[]string{"--index", "dynamodb://us-east-1/t?tls=true", "--blobs", "s3://h/b"}, `no parameter "tls"`},
	"one of the others":        {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?write-units=2"}, `no parameter "write-units"`},
	"a parameter given twice":  {[]string{"--index", "dynamodb://h/tab?timeout=1s&timeout=2s", "--blobs", "s3://h/b"}, "given 2 times"},
	"no number":                {[]string{"--index", "dynamodb://h/tab?attempts=two", "--blobs", "s3://h/b"}, "must be a whole number"},
	"no duration":              {[]string{"--index", "dynamodb://h/tab?retention=2", "--blobs", "s3://h/b"}, "must be a duration"},
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
	"a cache's selection":      {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://h?selection=jump"}, "parameter selection is no longer supported"},
	"cache for too long":       {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b", "--cache", "memcached://127.0.0.1?ttl=1000h"}, "720h"},
	"partitions":               {[]string{"--index", "dynamodb://h/tab?partitions=4", "--blobs", "s3://h/b"}, "parameter partitions is no longer supported"},
	"hedges":                   {[]string{"--index", "dynamodb://h/tab", "--blobs", "s3://h/b?hedge=0.05"}, "parameter hedge is no longer supported"},
	"an argument with secrets": {[]string{"dynamodb://k:" + secret + "@h/t"}, "dynamodb://…@h/t"},
}

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

// secret is what no output may hold. Secrets of Amazon have slashes and pluses.
const secret = "wJalr/XUt+nFE"
