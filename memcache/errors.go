package memcache

import "errors"

var (
	// ErrClosed is returned by calls after Close and by calls that Close interrupts.
	ErrClosed = errors.New("the memcached tier is closed")

	// ErrNoServers is returned while no server has been found. The log says why.
	ErrNoServers = errors.New("no memcached servers are known yet")

	// ErrUnavailable is returned for a server whose circuit is open after several failures in a row.
	ErrUnavailable = errors.New("not asked, because its last requests failed")
)

// These errors never leave the package.
var (
	errNoAddress = errors.New("its name has not been resolved yet")
	errNobody    = errors.New("no servers in the answer")
	errTooLong   = errors.New("it announces an item that memcached cannot hold")

	// errNoVerdict says that an exchange ended because of its caller.
	errNoVerdict = errors.New("the caller ended the exchange")
)

// refusal is an error message of a server. The request failed, but the server works.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }
