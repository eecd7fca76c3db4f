package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

// debugListener is the listener that serves profiles.
type debugListener struct {
	address  string
	listener net.Listener // nil before listen, and without an address
	stop     func()       // ends what start and listen began
}

func defineDebug(f *cli.Flags) *debugListener {
	d := &debugListener{stop: func() {}}
	f.StringVar(&d.address, "debug-listen", "", "serve profiles under /debug/pprof/ at an `ADDRESS`, as 127.0.0.1:6060, to every client that reaches it; "+
		"off by default")
	f.Must(func() error {
		if d.address == "" {
			return nil
		}
		return stores.Named("--debug-listen", address.CheckListen(d.address))
	})
	return d
}

// profiles returns the handler for profiles. Importing pprof also registers them in http.DefaultServeMux,
// which nothing serves.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// listen opens the listener. Without an address it does nothing.
func (d *debugListener) listen(ctx context.Context) (err error) {
	if d.address == "" {
		return nil
	}
	if d.listener, err = listen(ctx, "debug-listen", d.address); err == nil {
		d.stop = func() { d.listener.Close() }
	}
	return err
}

// start serves profiles until stop is called. Without a listener it does nothing.
func (d *debugListener) start(log *slog.Logger) {
	if d.listener == nil {
		return
	}
	web := &http.Server{Handler: profiles(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("profiles are not served any more", "err", err)
		}
	}()
	log.Info("profiles are served", "url", "http://"+d.listener.Addr().String()+"/debug/pprof/")
	d.stop = func() {
		web.Close()
		<-ended
	}
}
