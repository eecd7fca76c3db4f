package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// recheck is the shortest interval between two checks for changed files.
const recheck = time.Second

// Server holds the files with which a server identifies itself and verifies its clients. Changed files are
// read again.
type Server struct {
	cert, key, clientCA string
	config              *tls.Config // the configuration from the files; nil for plain HTTP
}

func DefineServer(f *cli.Flags) *Server {
	t := &Server{}
	f.StringVar(&t.cert, "tls-cert", "", "serve https with the certificate, and those between it and the authority, in a PEM `FILE`; "+
		"it is read again when it changes")
	f.StringVar(&t.key, "tls-key", "", "the private key of --tls-cert in a PEM `FILE`")
	f.StringVar(&t.clientCA, "tls-client-ca", "", "demand certificates of clients, by the authorities in a PEM `FILE`")
	f.Must(t.check)
	return t
}

func (t *Server) check() error {
	switch {
	case (t.cert == "") != (t.key == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case t.cert == "" && t.clientCA != "":
		return errors.New("--tls-client-ca goes with --tls-cert and --tls-key")
	}
	return nil
}

// Scheme returns the scheme of the server's URL.
func (t *Server) Scheme() string {
	if t.cert == "" {
		return "http"
	}
	return "https"
}

// Read reads the files, if there are any. Faulty files are an error.
func (t *Server) Read(log *slog.Logger) error {
	if t.cert == "" {
		return nil
	}
	c := &identity{files: t, log: log, now: time.Now}
	if err := c.read(); err != nil {
		return err
	}
	t.config = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.forClient}
	return nil
}

// Serve serves over TLS if there are files, else plain HTTP. It closes the listener.
func (t *Server) Serve(web *http.Server, listener net.Listener) error {
	if t.config == nil {
		return web.Serve(listener)
	}
	web.TLSConfig = t.config
	return web.ServeTLS(listener, "", "")
}

// load reads the files.
func (t *Server) load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", t.cert, t.key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{cert}}
	if t.clientCA != "" {
		if c.ClientCAs, err = readAuthorities(t.clientCA); err != nil {
			return nil, fmt.Errorf("--tls-client-ca: %w", err)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// readAuthorities reads the certificates of authorities.
func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// stats returns the file information that shows whether the files have changed. It is nil for a file that
// does not exist.
func (t *Server) stats() (all [3]fs.FileInfo) {
	for i, path := range []string{t.cert, t.key, t.clientCA} {
		if info, err := os.Stat(path); path != "" && err == nil {
			all[i] = info
		}
	}
	return all
}

// identity holds the content of the files when they were last valid.
type identity struct {
	files *Server
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex // guards the fields below
	config  *tls.Config
	stats   [3]fs.FileInfo // of the files that were read
	checked time.Time
	fault   string // why the present files are not used; empty when they are
}

// forClient returns the TLS configuration for a new connection.
func (c *identity) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= recheck {
		c.checked = now
		c.refresh()
	}
	return c.config, nil
}

// refresh reads the files again when they have changed or could not be read. The caller holds mu.
func (c *identity) refresh() {
	if c.fault == "" && !changed(c.stats, c.files.stats()) {
		return
	}
	again := c.fault
	if err := c.read(); err != nil {
		if c.fault = err.Error(); c.fault != again {
			c.log.Warn("TLS files have changed and are not usable: the previous ones stay in use", "err", err)
		}
		return
	}
	c.fault = ""
	c.log.Info("TLS files were read again", "cert", c.files.cert)
}

// read reads the files. It gets their stats first, so that a change during the read is noticed later.
func (c *identity) read() error {
	stats := c.files.stats()
	config, err := c.files.load()
	if err != nil {
		return err
	}
	c.config, c.stats, c.checked = config, stats, c.now()
	return nil
}

func changed(was, is [3]fs.FileInfo) bool {
	for i := range is {
		switch a, b := was[i], is[i]; {
		case a == nil || b == nil:
			if a != b {
				return true
			}
		case !os.SameFile(a, b) || !a.ModTime().Equal(b.ModTime()) || a.Size() != b.Size():
			return true
		}
	}
	return false
}
