package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlstest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// authority signs certificates and is written to a file.
// issue writes a certificate for 127.0.0.1, for servers and clients, with its key. It returns the serial
// number.
// pair issues a certificate into a new directory.
// pool returns a pool with the authority.
// TestTLS talks https to the collector, also with HTTP/2. The error of a wrong request says what to do.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key)...)
	plain := serveWithin(t, embedded(t)...)
	path := goldentest.Files(t, "hosts/*/*")[0]
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Errorf("it is at %s", s.url)
	}
	must(t, "push", "--to", s.url, "--ca", ca.File, path)
	want := []byte(must(t, "inspect", "--json", "--upgrade", path))
	r := call{args: []string{"query", "--json", "--from", s.url, "--at", "now"}, env: map[string]string{"COLLECTOR_CA": ca.File}}.run(t.Context())
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	goldentest.Equal(t, []byte(r.stdout), want, anyID)

	begun := time.Now()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown authority":   {[]string{"push", "--to", s.url, path}, "give --ca"},
		"other authority":     {[]string{"push", "--to", s.url, "--ca", tlstest.NewAuthority(t).File, path}, "give --ca"},
		"query, not trusted":  {[]string{"query", "--from", s.url, "--at", "now"}, "give --ca"},
		"plain HTTP":          {[]string{"push", "--to", strings.Replace(s.url, "https", "http", 1), path}, "give https:// in the URL"},
		"query by plain HTTP": {[]string{"query", "--from", strings.Replace(s.url, "https", "http", 1), "--at", "now"}, "give https:// in the URL"},
		"https to plain HTTP": {[]string{"push", "--to", strings.Replace(plain.url, "http", "https", 1), path}, "give http:// in the URL"},
		"no authority":        {[]string{"push", "--to", s.url, "--ca", key, path}, "holds no certificate in PEM"},
		"no file":             {[]string{"push", "--to", s.url, "--ca", key + "x", path}, "no such file"},
		"no certificate":      {[]string{"push", "--to", s.url, "--cert", key, "--key", key, path}, "--cert " + key},
	} {
		if r := collect(t, c.args...); r.code != 1 || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("what will not get better was tried for %v", took)
	}
	checkProtocols(t, s.url, ca)
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.said())
	}
}

// checkProtocols talks HTTP/2, and a version of TLS that is too old.
func checkProtocols(t *testing.T, url string, ca *tlstest.Authority) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/api/report")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body := must1(io.ReadAll(resp.Body)); resp.ProtoMajor != 2 || resp.StatusCode != 200 || len(body) == 0 {
		t.Errorf("%s %s, %d bytes", resp.Proto, resp.Status, len(body))
	}
	old := &tls.Config{RootCAs: ca.Pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		conn.Close()
		t.Error("it speaks TLS 1.1")
	}
}

// TestClientCertificates checks that only clients with certificates get in where they are demanded.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	cert, key := ca.Pair(t)
	mine, mineKey := ca.Pair(t)
	alien, alienKey := other.Pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca.File)...)
	path := goldentest.Files(t, "hosts/*/*")[0]
	must(t, "push", "--to", s.url, "--ca", ca.File, "--cert", mine, "--key", mineKey, path)
	for name, with := range map[string][]string{"none": nil, "of another authority": {"--cert", alien, "--key", alienKey}} {
		r := collect(t, append([]string{"query", "--from", s.url, "--at", "now", "--ca", ca.File}, with...)...)
		if r.code != 1 || !strings.Contains(r.stderr, "give --cert and --key") {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
}

func TestTLSUsage(t *testing.T) {
	t.Parallel()
	cert, key := tlstest.NewAuthority(t).Pair(t)
	for want, args := range map[string][]string{
		"--tls-cert and --tls-key go together":         {"serve", "--tls-cert", cert},
		"--tls-client-ca goes with --tls-cert":         {"serve", "--tls-client-ca", cert},
		"--cert and --key go together":                 {"push", "--to", "https://x", "--key", key},
		"--shutdown-delay 20s: must be less than half": {"serve", "--shutdown-delay", "20s"},
		"--shutdown-delay -1s: must not be negative":   {"serve", "--shutdown-delay", "-1s"},
		"--shutdown-timeout 0s: must be above 0":       {"serve", "--shutdown-timeout", "0"},
	} {
		checkUsage(t, collect(t, args...), want)
	}
	for want, args := range map[string][]string{
		"no such file":            {"--tls-cert", cert + "x", "--tls-key", key},
		"--tls-key " + cert:       {"--tls-cert", cert, "--tls-key", cert},
		"--tls-client-ca: " + key: {"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", key},
	} {
		r := collect(t, append(append([]string{"serve", "--listen", "127.0.0.1:0"}, embedded(t)...), args...)...)
		if r.code != 1 || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
}

// shown returns the serial number of a server's certificate.
// TestTLSFilesChange checks that changed files are read again, and faulty ones are ignored.
// TestServerTakesNewCertificate checks the same with a running collector.
func TestServerTakesNewCertificate(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key)...)
	want := ca.Issue(t, cert, key)
	eventually(t, func() bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: ca.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == want
	}, "it shows the certificate before")
}
