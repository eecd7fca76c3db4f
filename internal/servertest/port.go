package servertest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports come from below the range that kernels hand to outgoing connections, so that nothing takes a
// port while its server is down between Kill and Restart.
const (
	firstPort = 20000
	lastPort  = 31999
)

// reservation keeps a port from the other tests of this machine until it is closed.
type reservation = io.Closer

// reserve picks a port that nobody listens on and no other test has reserved.
func reserve() (int, reservation, error) {
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		hold, err := claim(port)
		if err != nil {
			continue
		}
		if free(port) {
			return port, hold, nil
		}
		_ = hold.Close()
	}
	return 0, nil, errors.New("no free port: is the machine full of servers?")
}

func free(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
