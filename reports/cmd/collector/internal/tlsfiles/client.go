package tlsfiles

import (
	"crypto/tls"
	"fmt"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// Client holds the files with which a subcommand verifies a collector and identifies itself.
type Client struct{ prefix, ca, cert, key string }

// DefineClient defines the flags. Their names begin with a prefix.
func DefineClient(f *cli.Flags, prefix string) *Client {
	t := &Client{prefix: prefix}
	f.StringVar(&t.ca, prefix+"ca", "", "trust the certificate authorities in a PEM `FILE` instead of the system's")
	f.StringVar(&t.cert, prefix+"cert", "", "show the certificate in a PEM `FILE` to a collector that demands one")
	f.StringVar(&t.key, prefix+"key", "", "the private key of --"+prefix+"cert in a PEM `FILE`")
	f.Must(func() error {
		if (t.cert == "") != (t.key == "") {
			return fmt.Errorf("--%scert and --%[1]skey go together", prefix)
		}
		return nil
	})
	return t
}

// Given reports whether a flag names a file.
func (t *Client) Given() bool { return t.ca != "" || t.cert != "" }

// Config returns the TLS configuration from the files, or nil without files.
func (t *Client) Config() (*tls.Config, error) {
	if t.ca == "" && t.cert == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if t.ca != "" {
		if c.RootCAs, err = readAuthorities(t.ca); err != nil {
			return nil, fmt.Errorf("--%sca: %w", t.prefix, err)
		}
	}
	if t.cert != "" {
		cert, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("--%scert %s, --%skey %s: %w", t.prefix, t.cert, t.prefix, t.key, err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}
