package main

import (
	"errors"
	"io"
	"log/slog"
)

// logging are the flags of subcommands that log.
type logging struct{ format, level string }

func (f *flags) logging() *logging {
	l := &logging{}
	f.StringVar(&l.format, "log-format", "text", "log as text or json: the `FORM`")
	f.StringVar(&l.level, "log-level", "info", "log from this `LEVEL` on: debug, info, warn or error")
	f.must(l.check)
	return l
}

func (l *logging) check() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return errors.New("--log-level must be debug, info, warn or error")
	}
	if l.format != "text" && l.format != "json" {
		return errors.New("--log-format must be text or json")
	}
	return nil
}

// logger returns a logger that writes to w.
func (l *logging) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(l.level)) // checked before
	opts := &slog.HandlerOptions{Level: level}
	if l.format == "json" {
		return slog.New(traceIDs{slog.NewJSONHandler(w, opts)})
	}
	return slog.New(traceIDs{slog.NewTextHandler(w, opts)})
}

// warnings returns the logger of subcommands that do not log what goes well.
func warnings(w io.Writer) *slog.Logger {
	return (&logging{format: "text", level: "warn"}).logger(w)
}
