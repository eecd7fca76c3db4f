package telemetry

import (
	"errors"
	"io"
	"log/slog"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// Logging holds the flags of subcommands that log.
type Logging struct{ format, level string }

func DefineLogging(f *cli.Flags) *Logging {
	l := &Logging{}
	f.StringVar(&l.format, "log-format", "text", "log as text or json: the `FORM`")
	f.StringVar(&l.level, "log-level", "info", "log from this `LEVEL` on: debug, info, warn or error")
	f.Must(l.check)
	return l
}

func (l *Logging) check() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return errors.New("--log-level must be debug, info, warn or error")
	}
	if l.format != "text" && l.format != "json" {
		return errors.New("--log-format must be text or json")
	}
	return nil
}

// Logger returns a logger that writes to w.
func (l *Logging) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(l.level)) // checked before
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: plain}
	if l.format == "json" {
		return slog.New(traceIDs{slog.NewJSONHandler(w, opts)})
	}
	return slog.New(traceIDs{slog.NewTextHandler(w, opts)})
}

// plain has errors logged as their text. A text handler formats them with %+v, and Pebble's errors then add a
// stack trace.
func plain(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindAny {
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(err.Error())
		}
	}
	return a
}

// Warnings returns the logger of subcommands that log warnings and errors only.
func Warnings(w io.Writer) *slog.Logger {
	return (&Logging{format: "text", level: "warn"}).Logger(w)
}
