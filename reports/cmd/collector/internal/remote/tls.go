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

// Do sends a request. A failure that any other would meet as well is a
// *refusalError.
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

// alert returns what is behind an error of a connection by https that was made
// and broke off: that the collector did not accept the certificate it was shown
// it says only after the handshake, and HTTP/2's client, which has sent more by
// then, may not hear it. It is nil when it was something else.
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
	_ = conn.SetReadDeadline(time.Now().Add(time.Second)) // who accepts the certificate waits for a request
	if _, err = conn.Read(make([]byte, 1)); err != nil && mistrust(err) != "" {
		return err
	}
	return nil
}

// mistrust says what to do about an error of a handshake in which the two do
// not accept each other; empty for another error.
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

// plainToTLS is how Go's server answers plain HTTP where it serves https.
const plainToTLS = "Client sent an HTTP request to an HTTPS server"
