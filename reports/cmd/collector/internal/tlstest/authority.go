package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

type Authority struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
	File string
}

var serial atomic.Int64

func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	a := &Authority{key: must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), File: filepath.Join(t.TempDir(), "ca.pem")}
	form := &x509.Certificate{SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der := must1(x509.CreateCertificate(rand.Reader, form, form, a.key.Public(), a.key))
	a.Cert = must1(x509.ParseCertificate(der))
	a.Write(t, a.File, "CERTIFICATE", der)
	return a
}

func (a *Authority) Write(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *Authority) Issue(t *testing.T, certFile, keyFile string) int64 {
	t.Helper()
	n := serial.Add(1)
	key := must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	form := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "collector"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	a.Write(t, certFile, "CERTIFICATE", must1(x509.CreateCertificate(rand.Reader, form, a.Cert, key.Public(), a.key)))
	a.Write(t, keyFile, "EC PRIVATE KEY", must1(x509.MarshalECPrivateKey(key)))
	return n
}

func (a *Authority) Pair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	a.Issue(t, certFile, keyFile)
	return certFile, keyFile
}

func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Cert)
	return pool
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
