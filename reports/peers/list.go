package peers

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// List holds the fixed addresses of collectors and the DNS names whose SRV records
// point to collectors. Parse returns one.
type List struct{ locations []location }

// location is either the address of a collector or a name with SRV records.
type location struct {
	scheme string
	host   string // host:port; empty for a name
	srv    string // the name, such as _api._tcp.collector.example.com
}

func (l location) String() string { return cmp.Or(l.host, "srv:"+l.srv) }

// fixed returns the base URL of an address, or nil for a name.
func (l location) fixed() []string {
	if l.host == "" {
		return nil
	}
	return []string{l.scheme + "://" + l.host}
}

// String returns the addresses and names, with commas between.
func (l List) String() string {
	names := make([]string, len(l.locations))
	for i, at := range l.locations {
		names[i] = at.String()
	}
	return strings.Join(names, ",")
}

// Parse reads a list separated by commas. Its items are
//
//	[http://|https://]host:port   a collector
//	srv:NAME, srv+https:NAME      the collectors in the SRV records of a DNS
//	                              name, such as _api._tcp.collector.example.com
func Parse(text string) (List, error) {
	var l List
	for item := range strings.SplitSeq(text, ",") {
		at, err := parseLocation(strings.TrimSpace(item))
		if err != nil {
			return List{}, fmt.Errorf("collector %.80q: %w", item, err)
		}
		l.locations = append(l.locations, at)
	}
	return l, nil
}

// hostName matches a DNS name, which may have underscores, or an IPv4 address.
var hostName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// isPort reports whether a text is the number of a port that a client can connect to.
func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= 65535 && strconv.Itoa(n) == text
}

func parseLocation(item string) (location, error) {
	for prefix, scheme := range map[string]string{"srv:": "http", "srv+https:": "https"} {
		if name, ok := strings.CutPrefix(item, prefix); ok {
			if !hostName.MatchString(name) {
				return location{}, errors.New("must be srv:NAME with the name of an SRV record, without a port")
			}
			return location{scheme: scheme, srv: name}, nil
		}
	}
	if !strings.Contains(item, "://") {
		item = "http://" + item
	}
	u, err := url.Parse(item)
	switch {
	case err != nil:
		return location{}, errors.New("must be host:port, a URL with these, or srv:NAME")
	case u.Scheme != "http" && u.Scheme != "https":
		return location{}, errors.New("must begin with http:// or https://, or with neither")
	case u.Hostname() == "" || u.Port() == "":
		return location{}, errors.New("must have a host and a port")
	case !isPort(u.Port()):
		return location{}, errors.New("the port must be a number from 1 to 65535")
	case !strings.HasPrefix(u.Host, "[") && !hostName.MatchString(u.Hostname()):
		return location{}, errors.New("the host must be a name or an address")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return location{}, errors.New("must not have a path, a query or a user")
	}
	return location{scheme: u.Scheme, host: u.Host}, nil
}
