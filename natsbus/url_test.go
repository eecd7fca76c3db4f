package natsbus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"nats://h":                        "nats://h",
		"nats://h:4222/":                  "nats://h:4222/",
		"tls://u:p@h:1":                   "tls://u:p@h:1",
		"nats://u:p%40ss@a, b:2,nats://c": "nats://u:p%40ss@a nats://u:p%40ss@b:2 nats://u:p%40ss@c",
		"nats://token@a,nats://u:p@b":     "nats://token@a nats://u:p@b",
		"nats://[::1]:4222":               "nats://[::1]:4222",
	} {
		got, err := parseURL(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                          "must begin with",
		"h:4222":                    "must begin with",
		"secret":                    "must begin with",
		"http://u:secret@h":         "must begin with",
		"nats://":                   "no host",
		"nats://u:secret@":          "no host",
		"nats://u:secret@:4222":     "no host",
		"nats://u:secret@h:0":       "from 1 to 65535",
		"nats://u:secret@a,h:99999": "from 1 to 65535",
		"nats://a,":                 "no host",
		"nats://a,tls://b":          "same scheme",
		"nats://u:secret@a:port":    "not a URL",
		"nats://u:se/cret@a":        "not a URL",
		"nats://u:secret%zz@a":      "not a URL",
		"nats://u:secret@a/b":       "nothing may follow",
		"nats://u:secret@a?x=y":     "nothing may follow",
		"nats://u:secret@a#b":       "nothing may follow",
		"nats://u:secret@a\nb":      "not a URL",
		"nats://u:secret@a b":       "not a URL",
		"nats://a,nats://u:secret":  "not a URL",
	} {
		if err := CheckURL(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if _, err := Open(text, nil); err == nil {
			t.Errorf("%q: a bus was opened", text)
		}
	}
	for _, opts := range []Options{{Timeout: -1}, {ReconnectWait: -1}, {Ping: -1}} {
		if _, err := Open("nats://h", &opts); err == nil {
			t.Errorf("%+v: no error", opts)
		}
	}
}

// guarded is a configuration that allows nothing to clients without credentials, such as the one that waits
// for the server to start.
const guarded = `
no_auth_user: nobody
authorization: { users: [
  { user: nobody, password: x, permissions: { publish: { deny: ">" }, subscribe: { deny: ">" } } }
  { user: scope, password: "s3cr/t" }
] }
`

// configured starts a server with a configuration.
func configured(t *testing.T, text string) (address string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := servertest.NATS(t, "-c", file)
	return strings.TrimPrefix(url, "nats://")
}

// TestCredentials checks that credentials of the URL reach the server and no log. Refused credentials are
// retried for ever, because the server may accept them later.
func TestCredentials(t *testing.T) {
	t.Parallel()
	address := configured(t, guarded)
	b, said := open(t, "nats://scope:s3cr%2Ft@127.0.0.1:1,"+address, Options{}) // the first server does not exist
	came, _ := subscribe(t, b, "s")
	heard(t, b, "s", came)

	wrong, saidWrong := open(t, "nats://scope:s3cr%2Ftest@"+address, Options{})
	servertest.Eventually(t, "the refusal in the log", func() bool { return saidWrong.Lines("Authorization Violation") > 0 })
	if err := wrong.say(t, "s", "x"); err == nil {
		t.Error("published with wrong credentials")
	}
	nobody, saidNobody := open(t, "nats://"+address, Options{})
	servertest.Eventually(t, "a violation in the log", func() bool {
		_ = nobody.say(t, "s", "x")
		return saidNobody.Lines("ermissions") > 0
	})
	if all := said.String() + saidWrong.String() + saidNobody.String(); strings.Contains(all, "s3cr") {
		t.Errorf("the log holds a secret:\n%s", all)
	}
}

// TestTLS checks that tls:// uses TLS and verifies the certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roots := selfSigned(t, dir)
	address := configured(t, fmt.Sprintf("allow_non_tls: true\ntls: { cert_file: %q, key_file: %q }\n",
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")))
	b, _ := open(t, "tls://"+address, Options{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	came, _ := subscribe(t, b, "s")
	heard(t, b, "s", came)
	if l, _ := b.present(); l == nil {
		t.Error("no connection")
	} else if state, err := l.conn.TLSConnectionState(); err != nil || !state.HandshakeComplete {
		t.Errorf("no TLS: %v", err)
	}
	for name, url := range map[string]string{"an unknown authority": "tls://" + address, "a server without": "tls://" + configured(t, "")} {
		b, said := open(t, url, Options{})
		servertest.Eventually(t, name+" in the log", func() bool { return said.Lines("nats: cannot connect") == 1 })
		if err := b.say(t, "s", "x"); err == nil {
			t.Errorf("%s: published", name)
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key into a directory, and returns a pool with the
// certificate.
func selfSigned(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for name, text := range map[string][]byte{"cert.pem": certPEM, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certPEM) {
		t.Fatal("the certificate is none")
	}
	return roots
}
