package memcache

import "errors"

var (
	// ErrClosed is returned by calls that begin after Close, and by those
	// that Close ended.
	ErrClosed = errors.New("memcache: the tier is closed")

	// ErrNoServers is returned while no server has been found yet: see the
	// log for why not.
	ErrNoServers = errors.New("memcache: no servers are known yet")

	// ErrUnavailable is returned for a server that is left alone because it
	// failed several times in a row.
	ErrUnavailable = errors.New("left alone after failures in a row")
)

// These never leave the package.
var (
	errNoAddress = errors.New("its name has not been resolved yet")
	errNobody    = errors.New("no servers in the answer")
	errTooLong   = errors.New("it announces an item that memcached cannot hold")

	// errNoVerdict says that an exchange ended for reasons of the caller's.
	errNoVerdict = errors.New("nothing is known of the server")
)

// refusal is what a server said instead of doing what it was asked: the
// request came to nothing, but the server is well.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }
