package natsbus

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// CheckURL returns an error for a URL that Open would refuse. The error does not contain the URL, which may
// hold secrets.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

// parseURL returns the servers of a URL. Each has a scheme and, when the first server has credentials,
// credentials.
func parseURL(text string) (servers []string, err error) {
	var first *url.URL
	for part := range strings.SplitSeq(text, ",") {
		u, err := parseServer(strings.TrimSpace(part), first)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = u
		}
		servers = append(servers, u.String())
	}
	return servers, nil
}

// parseServer parses one server. It takes a missing scheme and missing credentials from the first server.
func parseServer(text string, first *url.URL) (*url.URL, error) {
	if !strings.Contains(text, "://") && first != nil {
		text = first.Scheme + "://" + text
	}
	if scheme, _, ok := strings.Cut(text, "://"); !ok || scheme != "nats" && scheme != "tls" {
		return nil, errors.New("natsbus: a server must begin with nats:// or tls://")
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("natsbus: a server is not a URL such as nats://host:4222: " +
			"escape what is special in the credentials, as %2F for /")
	}
	switch {
	case first != nil && u.Scheme != first.Scheme:
		return nil, errors.New("natsbus: all servers must begin with the same scheme, nats:// or tls://")
	case u.Hostname() == "":
		return nil, errors.New("natsbus: a server has no host: write nats://HOST or nats://HOST:PORT")
	case u.Port() != "" && !isPort(u.Port()):
		return nil, errors.New("natsbus: the port of a server must be a number from 1 to 65535")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("natsbus: nothing may follow the host and port of a server: " +
			"escape what is special in the credentials, as %2F for /")
	}
	if u.User == nil && first != nil {
		u.User = first.User
	}
	return u, nil
}

// isPort reports whether a text is the number of a port that a client can connect to.
func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= 65535
}
