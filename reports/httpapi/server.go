package httpapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/timeblob/timeblob/reports/connlimit"
)

// maxStreams bounds the concurrent requests of an HTTP/2 connection. Each takes
// some 25 kB, which a limit of connections does not count. A query service with
// more questions opens another connection.
const maxStreams = 32

// NewServer returns a server for a handler. It limits the time of slow and idle
// clients; use [connlimit.Listen] to limit the open connections. The caller
// listens, serves and shuts down. Shutdown ends the requests that wait for a
// shortcut.
func NewServer(h *Handler) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(h.opts.ClientTimeout, 10*time.Second),
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       connlimit.Context,
		ConnState:         connlimit.State,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(h.endWaits)
	return server
}
