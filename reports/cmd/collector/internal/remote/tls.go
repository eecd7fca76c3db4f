package remote

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Do sends a request. An error that every other request would meet too is a *RefusalError.
func (r *Client) Do(req *http.Request) (*http.Response, error) {
	resp, err := r.HTTP.Do(req)
	if err == nil {
		return resp, nil
	}
	if advice := mistrust(err); advice != "" {
		return nil, &RefusalError{text: err.Error(), advice: advice, final: true}
	}
	if alert := r.alert(req.Context(), err); alert != nil {
		return nil, &RefusalError{text: fmt.Sprintf("%v: %v", err, alert), advice: mistrust(alert), final: true}
	}
	return nil, err
}

// alert returns the TLS alert behind an error of a connection, or nil. In TLS 1.3 a server refuses a client's
// certificate only after the handshake. By then HTTP/2's client has sent more data and may miss the alert.
func (r *Client) alert(ctx context.Context, err error) error {
	broken, _ := errors.AsType[*net.OpError](err)
	late, _ := errors.AsType[net.Error](err)
	if r.base.Scheme != "https" || ctx.Err() != nil || broken != nil && broken.Op == "dial" || late != nil && late.Timeout() {
		return nil
	}
	port := cmp.Or(r.base.Port(), "443")
	conn, err := (&tls.Dialer{Config: r.tls}).DialContext(ctx, "tcp", net.JoinHostPort(r.base.Hostname(), port))
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
