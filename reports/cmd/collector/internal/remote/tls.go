package remote

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// alert returns the TLS alert behind an error of a connection to base, or nil. In TLS 1.3 a server refuses a client's
// certificate only after the handshake. By then HTTP/2's client has sent more data and may miss the alert.
func alert(ctx context.Context, err error, base *url.URL, config *tls.Config) error {
	broken, _ := errors.AsType[*net.OpError](err)
	late, _ := errors.AsType[net.Error](err)
	if base.Scheme != "https" || ctx.Err() != nil || broken != nil && broken.Op == "dial" || late != nil && late.Timeout() {
		return nil
	}
	port := cmp.Or(base.Port(), "443")
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", net.JoinHostPort(base.Hostname(), port))
	if err != nil {
		return nil
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // a server that accepts the certificate waits for a request
	if _, err = conn.Read(make([]byte, 1)); err != nil && mistrust(err) != "" {
		return err
	}
	return nil
}

// mistrust says what the user can do about a failed TLS handshake. It is empty for other errors.
func mistrust(err error) string {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	switch text := err.Error(); {
	case unverified:
		return "give --ca, the certificates of the authorities that signed the collector's, or check the host in the URL"
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the collector does not serve https: give http:// in the URL"
	case strings.Contains(text, "remote error: tls: ") && strings.Contains(text, "certificate"):
		return "the collector demands a client's certificate of an authority that it knows: give --cert and --key"
	}
	return ""
}

// plainToTLS is the answer of Go's HTTPS server to a plain HTTP request.
const plainToTLS = "Client sent an HTTP request to an HTTPS server"
