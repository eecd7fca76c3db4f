package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// onAWS names a table and a bucket, which some flags need.
var onAWS = []string{"--index", "dynamodb://k:" + secret + "@h/tab", "--blobs", "s3://k:" + secret + "@h/buck"}

// badConfigurations are arguments, or variables for the same flags, that are refused when the command starts,
// before it listens or creates a file.
var badConfigurations = map[string]struct {
	args []string
	want string
}{
	"port in a record":           {[]string{"--cache", "memcached+srv://memcached/x:11211"}, "--cache: leave the port out"},
	"record with underscores":    {[]string{"--cache", "memcached+srv://_memcached._tcp/x"}, "--cache: write the service without _"},
	"record as a name":           {[]string{"--cache", "memcached+srv://memcached/_memcached._tcp.x"}, "--cache: write the service without _"},
	"service with a dot":         {[]string{"--cache", "memcached+srv://memcached.tcp/x"}, "--cache: the service must be a name"},
	"path behind a record":       {[]string{"--cache", "memcached+srv://memcached/x/y"}, "--cache: must be memcached+srv://service/host"},
	"cache at port 0":            {[]string{"--cache", "memcached://h:0"}, "--cache: the port must be a number from 1 to 65535"},
	"cache at port 99999":        {[]string{"--cache", "memcached://a,h:99999"}, "--cache: the port must be a number from 1 to 65535"},
	"cache without a host":       {[]string{"--cache", "memcached://"}, "--cache: the host must be"},
	"an empty host among others": {[]string{"--cache", "memcached://a,,b"}, "--cache: the host must be"},
	"a cache twice":              {[]string{"--cache", "memcached://a,a:11211"}, "--cache: the server a:11211 is given twice"},
	"a space in a list":          {[]string{"--cache", "memcached://a, b"}, "--cache: the host must be"},
	"IPv6 without brackets":      {[]string{"--cache", "memcached://::1"}, "--cache: write an IPv6 address in brackets"},
	"upper-case cache":           {[]string{"--cache", "Memcached://a"}, "--cache: write the beginning in lower case, as memcached://"},
	"negative ttl":               {[]string{"--cache", "memcached://a?ttl=-1s"}, "ttl"},
	"negative timeout":           {[]string{"--cache", "memcached://a?timeout=-1s"}, "timeout"},
	"negative batch":             {[]string{"--cache", "memcached://a?batch=-1"}, "batch"},
	"negative parallel":          {[]string{"--cache", "memcached://a?parallel=-1"}, "parallel"},
	"negative failures":          {[]string{"--cache", "memcached://a?failures=-1"}, "failures"},
	"negative cooldown":          {[]string{"--cache", "memcached://a?cooldown=-1s"}, "cooldown"},
	"negative refresh":           {[]string{"--cache", "memcached://a?refresh=-1s"}, "refresh"},
	"negative item":              {[]string{"--cache", "memcached://a?max-item=-1"}, "max-item"},

	"upper-case index":        {[]string{"--index", "DynamoDB://k:" + secret + "@h/tab"}, "--index: write the beginning in lower case, as dynamodb://"},
	"upper-case blobs":        {[]string{"--blobs", "S3://k:" + secret + "@h/b"}, "--blobs: write the beginning in lower case, as s3://"},
	"index at port 0":         {[]string{"--index", "dynamodb://k:" + secret + "@h:0/tab"}, "--index: the port must be"},
	"blobs at port 65536":     {[]string{"--blobs", "s3://k:" + secret + "@h:65536/buck"}, "--blobs: the port must be"},
	"index at bare IPv6":      {[]string{"--index", "dynamodb://k:" + secret + "@::1/tab"}, "--index: write an IPv6 address in brackets"},
	"a path behind a table":   {[]string{"--index", "dynamodb://k:" + secret + "@h/a/b"}, "--index"},
	"negative attempts":       {[]string{"--index", "dynamodb://h/tab?attempts=-1"}, "attempts"},
	"negative lateness":       {[]string{"--index", "dynamodb://h/tab?lateness=-1s"}, "lateness"},
	"negative retention":      {[]string{"--index", "dynamodb://h/tab?retention=-1h"}, "retention"},
	"negative index timeout":  {[]string{"--index", "dynamodb://h/tab?timeout=-1s"}, "timeout"},
	"negative bucket timeout": {[]string{"--blobs", "s3://h/buck?attempt-timeout=-1s"}, "attempt-timeout"},
	"negative fetches":        {[]string{"--blobs", "s3://h/buck?parallel=-1"}, "parallel"},
	"a parameter in capitals": {[]string{"--blobs", "s3://h/buck?Parallel=1"}, `no parameter "Parallel"`},

	"listen at port 99999":         {[]string{"--listen", "127.0.0.1:99999"}, "--listen: the port must be a number from 0 to 65535"},
	"listen at a port alone":       {[]string{"--listen", "4040"}, "--listen: must be host:port, as 127.0.0.1:4040"},
	"listen at bare IPv6":          {[]string{"--listen", "::1:4040"}, "--listen: write an IPv6 address in brackets, as [::1] or [::1]:4040"},
	"listen at a URL":              {[]string{"--listen", "http://127.0.0.1:4040"}, "--listen: must be host:port"},
	"debug at a port alone":        {[]string{"--debug-listen", "6060"}, "--debug-listen: must be host:port"},
	"debug at port -1":             {[]string{"--debug-listen", "127.0.0.1:-1"}, "--debug-listen: the port must be"},
	"resolver without a port":      {[]string{"--resolver", "127.0.0.1"}, "--resolver: must be host:port"},
	"resolver at port 0":           {[]string{"--resolver", "127.0.0.1:0"}, "--resolver: the port must be"},
	"collector at port 0":          {[]string{"--collectors", "a:1,h:0"}, "--collectors: collector \"h:0\": the port must be a number from 1 to 65535"},
	"collector at port 99999":      {[]string{"--collectors", "https://h:99999"}, "--collectors: collector \"https://h:99999\": the port must be a number from 1 to 65535"},
	"port in a collector's record": {[]string{"--collectors", "srv:_api._tcp.h:80"}, "--collectors: "},
	"nats at port 0":               {[]string{"--nats", "nats://u:" + strings.ReplaceAll(secret, "/", "%2F") + "@h:0"}, "--nats: "},
	"nats at port 99999":           {[]string{"--nats", "nats://a,h:99999"}, "--nats: "},
	"upper-case nats":              {[]string{"--nats", "NATS://h"}, "--nats: "},

	"space before a directory":  {[]string{"--data", " ./x"}, "--data begins or ends with white space: remove it"},
	"new line after a URL":      {[]string{"--cache", "memcached://a\n"}, "--cache begins or ends with white space"},
	"space around an index":     {[]string{"--index", " dynamodb://k:" + secret + " @h/tab"}, "--index begins or ends with white space"},
	"space after a duration":    {[]string{"--tick", "3s "}, "--tick begins or ends with white space"},
	"nothing but a space":       {[]string{"--tenant-header", " "}, "--tenant-header begins or ends with white space"},
	"yes":                       {[]string{"--create=yes"}, "must be true or false"},
	"duration without a unit":   {[]string{"--window", "15"}, "must be a duration, as 90s or 1h30m"},
	"negative window":           {[]string{"--window", "-15s"}, "--window -15s: must be above 0"},
	"negative retention flag":   {[]string{"--retention", "-2h"}, "must be a duration, as 7d, 720h or 1d12h"},
	"negative size":             {[]string{"--max-body", "-1"}, "must be a number of bytes"},
	"size without a number":     {[]string{"--max-body", "MiB"}, "must be a number of bytes"},
	"size beyond all":           {[]string{"--memory", "1e30"}, "must be a number of bytes"},
	"number beyond all":         {[]string{"--max-connections", "99999999999999999999"}, "must be a whole number"},
	"half a number":             {[]string{"--max-connections", "1.5"}, "must be a whole number"},
	"no connections":            {[]string{"--max-connections", "-1"}, "--max-connections must be above 0"},
	"endless rate":              {[]string{"--tenant-rate", "Inf"}, "--tenant-rate must be"},
	"window below a tick":       {[]string{"--window", "2s"}, "--window 2s: is shorter than a tick, which is 3s: give --window more"},
	"window beyond a question":  {[]string{"--window", "745h"}, "--window 745h0m0s: must be at most 744h0m0s"},
	"tick of a moment":          {[]string{"--tick", "100us"}, "--tick 100µs: must be at least 1ms"},
	"quantum of a moment":       {[]string{"--quantum", "100us"}, "--quantum 100µs: must be at least 1ms"},
	"header with a space":       {[]string{"--tenant-header", "a b"}, `--tenant-header: "a b" is not a header name`},
	"header with a line":        {[]string{"--tenant-header", "a\nb"}, `--tenant-header: "a\nb" is not a header name`},
	"header of HTTP":            {[]string{"--tenant-header", "host"}, `--tenant-header: "host" says something else in HTTP`},
	"header of credentials":     {[]string{"--tenant-header", "Authorization"}, "--tenant-header: "},
	"token with a space":        {[]string{"--collector-token", "a b"}, "--collector-token or COLLECTOR_COLLECTOR_TOKEN: a token must be printable ASCII without spaces"},
	"token of two lines":        {[]string{"--collector-token", "a\nb"}, "a token must be printable ASCII without spaces"},
	"authorities for no one":    {[]string{"--collector-ca", "x"}, "go with --role query"},
	"resolver for no one":       {[]string{"--resolver", "127.0.0.1:53"}, "go with --role query"},
	"role in capitals":          {[]string{"--role", "QUERY"}, "must be all, collector or query"},
	"collector-timeout of none": {[]string{"--collector-timeout", "0"}, "--collector-timeout 0s: must be above 0"},
}

// TestBadConfigurations checks that a wrong flag or variable is reported at the start, in one line that names
// it and holds no secret.
func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	for name, c := range badConfigurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			args, env := []string{"serve", "--data", filepath.Join(dir, "data")}, map[string]string{}
			if needsAWS(c.args[0]) {
				args = append([]string{"serve"}, onAWS...)
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel() // a configuration that is not refused ends at once
			checkUsage(t, call{args: append(args, c.args...)}.run(ended), c.want)

			flag, value, _ := strings.Cut(c.args[0], "=")
			if len(c.args) > 1 {
				value = c.args[1]
			}
			for i := 0; i+1 < len(args); i++ {
				if args[i] == flag { // the argument would win over the variable
					args = append(args[:i:i], args[i+2:]...)
				}
			}
			env[cli.Variable(strings.TrimPrefix(flag, "--"))] = value
			want := strings.Replace(c.want, flag+" begins", cli.Variable(strings.TrimPrefix(flag, "--"))+" begins", 1)
			if before, said, ok := strings.Cut(want, ": "); ok && (flag == "--resolver" || flag == "--collectors") && before == flag {
				want = said
			}
			checkUsage(t, call{args: args, env: env}.run(ended), want)
			if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
				t.Errorf("made %v, %v", made, err)
			}
		})
	}
}

// needsAWS reports whether a flag needs a table and a bucket.
func needsAWS(flag string) bool {
	return flag == "--cache" || flag == "--index" || flag == "--blobs" || flag == "--create=yes"
}

// TestLinkToNothing checks that the error explains why a directory cannot be created.
func TestLinkToNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "data")
	if err := os.Symlink("gone", link); err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(dir, "1.json"), sample("one", 1))
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"import", file}, {"query", "--at", "1"}} {
		r := collect(t, append(args, "--data", link)...)
		if want := `the link leads to "gone", which does not exist: make that directory, or remove the link`; r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit %d, %s", args[0], r.code, r.stderr)
		}
	}
}

// TestTokensEndInNewLines checks that a token from a file loses its newline.
func TestTokensEndInNewLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants")
	if err := os.WriteFile(path, []byte("a token=t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveWithin(t, append(embedded(t), "--tenants", path)...)
	r := call{args: []string{"query", "--from", s.url, "--at", "now"}, env: map[string]string{"COLLECTOR_TOKEN": "t\n"}}.run(t.Context())
	if r.code != 0 {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// TestByteOrderMark checks that JSON may begin with a byte order mark, in files, in posts and on standard
// input.
func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := write(t, filepath.Join(dir, "plain", "1700000000000000000.json"), sample("one", 3))
	text := append([]byte("\ufeff"), must1(os.ReadFile(plain))...)
	marked := filepath.Join(dir, "1700000000000000000.json")
	zippedFile := filepath.Join(dir, "1700000000000000001.json.gz")
	for path, b := range map[string][]byte{marked: text, zippedFile: zipped(text)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := must(t, "inspect", "--json", plain)
	for _, path := range []string{marked, zippedFile} {
		if got := must(t, "inspect", "--json", path); got != want {
			t.Errorf("%s is read as %s", path, got)
		}
	}
	r := call{args: []string{"inspect", "--json", "-"}, stdin: strings.NewReader(string(text))}.run(t.Context())
	if r.code != 0 || r.stdout != want {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	must(t, append([]string{"import", marked, zippedFile}, embedded(t)...)...)
	s := serveWithin(t, embedded(t)...)
	if said := must(t, "push", "--to", s.url, marked, zippedFile); !strings.Contains(said, "pushed 2 reports") {
		t.Errorf("push said %s", said)
	}
}
