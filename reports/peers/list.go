package peers

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// List says where collectors are: at fixed addresses, where the SRV records of
// DNS names point, or both. Parse makes one.
type List struct{ locations []location }

// location is an address, or a name whose SRV records hold addresses.
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

// Parse reads a list, with commas between, of
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

func parseLocation(item string) (location, error) {
	for prefix, scheme := range map[string]string{"srv:": "http", "srv+https:": "https"} {
		if name, ok := strings.CutPrefix(item, prefix); ok {
			if name == "" || strings.ContainsAny(name, "/:@ ") {
				return location{}, errors.New("must be srv:NAME with the name of an SRV record")
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
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return location{}, errors.New("must not have a path, a query or a user")
	}
	return location{scheme: u.Scheme, host: u.Host}, nil
}
