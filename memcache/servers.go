package memcache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Servers says where the servers of a tier are. List and SRV return one.
type Servers struct {
	list          []string
	service, host string
}

// List is fixed servers: each is host:port, or the path of a Unix socket, which contains a slash. Their order
// does not matter. Hosts are resolved again at every Options.Refresh.
func List(addresses ...string) Servers {
	return Servers{list: slices.Clone(addresses)}
}

// SRV is the servers in the DNS SRV record _service._tcp.host.
func SRV(service, host string) Servers {
	return Servers{service: service, host: host}
}

// String returns the name of the record, or the list.
func (s Servers) String() string {
	if s.host != "" {
		return fmt.Sprintf("_%s._tcp.%s", s.service, s.host)
	}
	return strings.Join(s.list, ",")
}

func (s Servers) check() error {
	if s.host != "" && s.service != "" {
		return s.checkRecord()
	}
	if s.host != "" || s.service != "" {
		return errors.New("memcache: SRV needs a service and a host")
	}
	if len(s.list) == 0 {
		return errors.New("memcache: List needs the address of at least one server")
	}
	for _, address := range s.list {
		if err := checkAddress(address); err != nil {
			return fmt.Errorf("memcache: %q is neither a host:port nor the path of a socket: %w", address, err)
		}
	}
	return nil
}

// checkRecord refuses names that no SRV record can have.
func (s Servers) checkRecord() error {
	switch {
	case strings.Contains(s.host, ":"):
		return fmt.Errorf("memcache: SRV host %q has a port: leave it out, the record holds the ports", s.host)
	case strings.HasPrefix(s.service, "_") || strings.Contains(s.service, "."):
		return fmt.Errorf("memcache: SRV service %q: write the plain name, such as memcached, for _memcached._tcp", s.service)
	case strings.HasPrefix(s.host, "_"):
		return fmt.Errorf("memcache: SRV host %q: write the domain alone, for _memcached._tcp.domain", s.host)
	}
	return nil
}

func checkAddress(address string) error {
	if isPath(address) {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || port == "") {
		err = errors.New("a part is missing")
	}
	if n, bad := strconv.ParseUint(port, 10, 16); err == nil && (bad != nil || n == 0) {
		err = fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return err
}

// isPath tells a Unix socket from host:port by the rule of gomemcache.
func isPath(address string) bool { return strings.Contains(address, "/") }

// names returns the servers in any order. Servers of a record have the form "target:port" with DNS's dot at
// the end of the target, because Scope sorts them in this form.
func (s Servers) names(ctx context.Context, resolver Resolver) ([]string, error) {
	if s.host == "" {
		return slices.Clone(s.list), nil
	}
	_, records, err := resolver.LookupSRV(ctx, s.service, "tcp", s.host)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(records))
	for _, record := range records {
		names = append(names, fmt.Sprintf("%s:%d", record.Target, record.Port))
	}
	if len(names) == 0 {
		return nil, errNobody
	}
	return names, nil
}

// addresses returns the addresses of a server in the order to try. IPv4 comes first: gomemcache uses nothing
// else when there is one.
func addresses(ctx context.Context, resolver Resolver, name string) ([]string, error) {
	if isPath(name) {
		return []string{name}, nil
	}
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{name}, nil
	}
	hosts, err := resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(hosts, func(a, b string) int { return strings.Count(a, ":") - strings.Count(b, ":") })
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(host, port)
	}
	return hosts, nil
}
