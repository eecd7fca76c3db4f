package reports

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
	"github.com/timeblob/timeblob/tiered"
)

// QuerierOptions tune a Querier. Nil or a zero field means the default.
type QuerierOptions struct {
	// Window is the length of the window that Report covers; it should equal the collectors' window. Default 15 s.
	Window time.Duration
	// Past tunes how stored reports are merged, Store how they are read. The
	// package sets their Size. Their Registerer, Namespace and Now default to the
	// fields below.
	Past  bucket.QuantizerOptions[*report.Report]
	Store tiered.Options[*report.Report]
	// MaxInflated bounds a stored report when it is inflated, in bytes. Default
	// 1 GiB.
	MaxInflated int64
	// BlobFormat is how roll-ups are compressed. Default gzip. See Options.
	BlobFormat wire.Format

	// StoreTimeout bounds how long an answer about now waits for the store. After
	// that it is made without the store, and says so. Default 1 s.
	StoreTimeout time.Duration

	// Bus is where collectors announce shortcuts, and ShortcutCache carries them;
	// see package shortcuts. Default none.
	Bus           shortcuts.Bus
	ShortcutCache tiered.Tier

	// Registerer takes the metrics; nil for none. Namespace leads their names;
	// default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger reports collectors that do not answer. Default none.
	Logger *slog.Logger
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// withDefaults returns a checked copy with all defaults set.
func (opts *QuerierOptions) withDefaults() (QuerierOptions, error) {
	o := QuerierOptions{}
	if opts != nil {
		o = *opts
	}
	orDefault(&o.Window, 15*time.Second)
	orDefault(&o.MaxInflated, 1<<30)
	orDefault(&o.StoreTimeout, time.Second)
	orDefault(&o.Namespace, "scope")
	orDefault(&o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window < 0 || o.MaxInflated < 0 || o.StoreTimeout < 0 {
		return o, errors.New("reports: Window, MaxInflated and StoreTimeout must not be negative")
	}
	o.share()
	return o, nil
}

// share passes shared options on to the store and the quantizer.
func (o *QuerierOptions) share() {
	shareStore(&o.Store, o.Namespace, o.Registerer, o.Now)
	o.Past.Size = report.Size
	orDefault(&o.Past.Namespace, o.Namespace)
	if o.Past.Registerer == nil {
		o.Past.Registerer = o.Registerer
	}
	if o.Past.Now == nil {
		o.Past.Now = o.Now
	}
}

// hub returns the configuration of the querier's hub.
func (o *QuerierOptions) hub() shortcuts.Config {
	return shortcuts.Config{Bus: o.Bus, Cache: o.ShortcutCache, Window: o.Window, Check: checkShortcut(-1),
		Now: o.Now, Registerer: o.Registerer, Namespace: o.Namespace, Logger: o.Logger}
}
