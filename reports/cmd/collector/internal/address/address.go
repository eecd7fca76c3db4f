// Package address checks the addresses of servers in flags and URLs, so that a wrong one is refused when the
// command starts.
package address

import (
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// hostName matches a host: a name or an IPv4 address of letters, digits, hyphens, underscores and dots, or an
// IPv6 address in brackets.
var hostName = regexp.MustCompile(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?\])$`)

var errBrackets = errors.New("write an IPv6 address in brackets, as [::1] or [::1]:4040")

// CheckServer checks host or host:port. Its errors do not repeat the host: when the user forgot an @, it is a
// secret.
func CheckServer(server string) error {
	host, port, given := Cut(server)
	switch {
	case strings.Count(server, ":") > 1 && !strings.HasPrefix(server, "["):
		return errBrackets
	case !hostName.MatchString(host):
		return errors.New("the host must be a name or an address, with a port or without")
	case given:
		return CheckPort(port)
	}
	return nil
}

// CheckName checks a name or an address without a port.
func CheckName(name string) error {
	if _, _, given := Cut(name); given {
		return errors.New("the name must have no port")
	}
	return CheckServer(name)
}

// Cut returns the host and the port of a server, and whether it has a port.
func Cut(server string) (host, port string, given bool) {
	colon := strings.LastIndexByte(server, ':')
	if colon <= strings.LastIndexByte(server, ']') {
		return server, "", false
	}
	return server[:colon], server[colon+1:], true
}

// CheckPort checks the number of a port that a client connects to.
func CheckPort(port string) error {
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// CheckListen checks host:port for a listener. The host may be empty, which means all interfaces. Port 0
// means a free port.
func CheckListen(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if strings.Count(listen, ":") > 1 && !strings.ContainsAny(listen, "[/") {
		return errBrackets
	}
	if err != nil {
		return errors.New("must be host:port, as 127.0.0.1:4040")
	}
	if n, err := strconv.Atoi(port); err == nil && n == 0 {
		port = "1"
	}
	if host != "" && net.ParseIP(host) == nil && !hostName.MatchString(host) && !strings.Contains(host, "%") {
		return errors.New("the host must be a name or an address of this machine")
	}
	if CheckPort(port) != nil {
		return errors.New("the port must be a number from 0 to 65535")
	}
	return nil
}
