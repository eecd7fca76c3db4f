package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// authority signs certificates, and is in a file.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

var serial atomic.Int64

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), file: filepath.Join(t.TempDir(), "ca.pem")}
	form := &x509.Certificate{SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must1(x509.CreateCertificate(rand.Reader, form, form, a.key.Public(), a.key))
	a.cert = must1(x509.ParseCertificate(der))
	a.write(t, a.file, "CERTIFICATE", der)
	return a
}

func (a *authority) write(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes a certificate for 127.0.0.1, of servers and clients, and its
// key, and returns its serial number.
func (a *authority) issue(t *testing.T, certFile, keyFile string) int64 {
	t.Helper()
	n := serial.Add(1)
	key := must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	form := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "collector"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	a.write(t, certFile, "CERTIFICATE", must1(x509.CreateCertificate(rand.Reader, form, a.cert, key.Public(), a.key)))
	a.write(t, keyFile, "EC PRIVATE KEY", must1(x509.MarshalECPrivateKey(key)))
	return n
}

// pair issues a certificate into a directory of its own.
func (a *authority) pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	a.issue(t, certFile, keyFile)
	return certFile, keyFile
}

// pool is who trusts the authority.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// TestTLS holds: probes and people talk https to the collector, by HTTP/2 too,
// and whoever does it wrong is told what to do.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key)...)
	plain := serveWithin(t, embedded(t)...)
	path := goldentest.Files(t, "hosts/*/*")[0]
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Errorf("it is at %s", s.url)
	}
	must(t, "push", "--to", s.url, "--ca", ca.file, path)
	want := []byte(must(t, "inspect", "--json", "--upgrade", path))
	r := call{args: []string{"query", "--json", "--from", s.url, "--at", "now"}, env: map[string]string{"COLLECTOR_CA": ca.file}}.run(t.Context())
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
		"other authority":     {[]string{"push", "--to", s.url, "--ca", newAuthority(t).file, path}, "give --ca"},
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
func checkProtocols(t *testing.T, url string, ca *authority) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/api/report")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body := must1(io.ReadAll(resp.Body)); resp.ProtoMajor != 2 || resp.StatusCode != 200 || len(body) == 0 {
		t.Errorf("%s %s, %d bytes", resp.Proto, resp.Status, len(body))
	}
	old := &tls.Config{RootCAs: ca.pool(), MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), old); err == nil {
		conn.Close()
		t.Error("it speaks TLS 1.1")
	}
}

// TestClientCertificates holds: where they are demanded nobody else gets in.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.pair(t)
	mine, mineKey := ca.pair(t)
	alien, alienKey := other.pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca.file)...)
	path := goldentest.Files(t, "hosts/*/*")[0]
	must(t, "push", "--to", s.url, "--ca", ca.file, "--cert", mine, "--key", mineKey, path)
	for name, with := range map[string][]string{"none": nil, "of another authority": {"--cert", alien, "--key", alienKey}} {
		r := collect(t, append([]string{"query", "--from", s.url, "--at", "now", "--ca", ca.file}, with...)...)
		if r.code != 1 || !strings.Contains(r.stderr, "give --cert and --key") {
			t.Errorf("%s: exit %d, %s", name, r.code, r.stderr)
		}
	}
}

func TestTLSUsage(t *testing.T) {
	t.Parallel()
	cert, key := newAuthority(t).pair(t)
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

// shown returns the serial number of what a server shows.
func (i *identity) shown(t *testing.T) int64 {
	t.Helper()
	config := must1(i.forClient(nil))
	return must1(x509.ParseCertificate(config.Certificates[0].Certificate[0])).SerialNumber.Int64()
}

// TestTLSFilesChange holds: files that change are read again, and bad ones are
// not taken.
func TestTLSFilesChange(t *testing.T) {
	t.Parallel()
	ca, stderr, now := newAuthority(t), &buffer{}, time.Now()
	dir := t.TempDir()
	files := &serverTLS{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), clientCA: ca.file}
	first := ca.issue(t, files.cert, files.key)
	i := &identity{files: files, log: (&logging{format: "text", level: "info"}).logger(stderr), now: func() time.Time { return now }}
	if err := i.read(); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, n int64, lines int) {
		t.Helper()
		if got := i.shown(t); got != n {
			t.Errorf("%s: certificate %d, want %d", what, got, n)
		}
		if got := strings.Count(stderr.String(), "\n"); got != lines {
			t.Errorf("%s: %d lines logged, want %d: %s", what, got, lines, stderr)
		}
	}
	second := ca.issue(t, files.cert, files.key)
	now = now.Add(recheck - 1)
	expect("too early to look", first, 0)
	now = now.Add(1)
	expect("changed", second, 1)
	whole := must1(os.ReadFile(files.cert))
	third := filepath.Join(dir, "third")
	n := ca.issue(t, third, files.key) // the key of another certificate
	for range 3 {
		now = now.Add(recheck)
		expect("half changed", second, 2)
	}
	if err := os.Rename(third, files.cert); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("wholly changed", n, 3)
	if err := os.Remove(files.cert); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("gone", n, 4)
	if err := os.WriteFile(files.cert, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(recheck)
	expect("cut off", n, 5)
	last := ca.issue(t, files.cert, files.key)
	now = now.Add(recheck)
	expect("well again", last, 6)
	before := must1(i.forClient(nil)).ClientCAs
	newAuthority(t).write(t, ca.file, "CERTIFICATE", newAuthority(t).cert.Raw)
	now = now.Add(recheck)
	expect("other clients", last, 7)
	if must1(i.forClient(nil)).ClientCAs.Equal(before) {
		t.Error("the authority of clients is the one before")
	}
}

// TestServerTakesNewCertificate holds: so it is while the collector runs.
func TestServerTakesNewCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.pair(t)
	s := serveWithin(t, append(embedded(t), "--tls-cert", cert, "--tls-key", key)...)
	want := ca.issue(t, cert, key)
	eventually(t, func() bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: ca.pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == want
	}, "it shows the certificate before")
}
