package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

// debugListener is the listener that serves profiles.
type debugListener struct {
	address string
	stop    func()
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

// start serves profiles until stop is called. Without an address it does nothing.
func (d *debugListener) start(ctx context.Context, log *slog.Logger) error {
	if d.address == "" {
		return nil
	}
	listener, err := listen(ctx, "debug-listen", d.address)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: profiles(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("profiles are not served any more", "err", err)
		}
	}()
	log.Info("profiles are served", "url", "http://"+listener.Addr().String()+"/debug/pprof/")
	d.stop = func() {
		web.Close()
		<-ended
	}
	return nil
}
