package tenants

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options tune a File; nil or a zero field means the default.
type Options struct {
	// Every is how often Run looks at the file. A change is taken when two
	// looks in a row see the same, so that none is read half-written. Default
	// 1 s.
	Every time.Duration
	// NoPeers refuses the name *: no header tells which tenant a peer names.
	NoPeers bool
	// Registerer takes the metrics; nil for none. Namespace leads their
	// names; default "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger is told when the file was read again, and when that failed.
	// Default none.
	Logger *slog.Logger
}

func (opts *Options) withDefaults() (Options, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Namespace == "" {
		o.Namespace = "scope"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Every < 0 {
		return o, fmt.Errorf("look at the tenants file every %v: must be above 0", o.Every)
	}
	return o, nil
}

// File is a tenants file. While Run runs it is read again when it changes, be
// it written to or replaced by another of its name. A version that is broken,
// or gone, is logged and counted, and the last good one stays; so it does when
// a file that held tokens holds none, which would let everybody in. It is safe
// for any number of goroutines.
type File struct {
	path    string
	opts    Options
	metrics *fileMetrics
	table   atomic.Pointer[Table]

	mu      sync.Mutex        // guards what follows
	seen    look              // the last one
	read    look              // the one of the version that was read last; zero for none
	failing bool              // that version was not taken
	digest  [sha256.Size]byte // of the version in force
}

// Open reads a tenants file, which must be there and in order. Its errors name
// the path, and the line where one is to blame, but hold nothing of the file.
func Open(path string, opts *Options) (*File, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &File{path: path, opts: o}
	if f.metrics, err = newFileMetrics(o.Registerer, o.Namespace); err != nil {
		return nil, err
	}
	f.seen = lookAt(path)
	if _, err := f.load(); err != nil {
		return nil, fmt.Errorf("tenants file %s: %w", path, err)
	}
	f.metrics.good.Set(1)
	return f, nil
}

// Table returns what the file says.
func (f *File) Table() *Table { return f.table.Load() }

// Run looks at the file until ctx ends.
func (f *File) Run(ctx context.Context) {
	ticker := time.NewTicker(f.opts.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f.Look()
		case <-ctx.Done():
			return
		}
	}
}

// Look looks at the file once, as Run does. It reads one that has changed when
// the Look before saw the same change.
func (f *File) Look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := lookAt(f.path)
	still := now.same(f.seen)
	f.seen = now
	if !still || now.same(f.read) {
		return
	}
	f.read = now
	changed, err := f.load()
	switch {
	case err != nil:
		f.metrics.refused.Inc()
		f.metrics.good.Set(0)
		f.opts.Logger.Error("the tenants file was not taken, what it said before stays", "path", f.path, "err", err)
	case changed || f.failing:
		f.metrics.taken.Inc()
		f.metrics.good.Set(1)
		t := f.Table()
		f.opts.Logger.Info("read the tenants file again", "path", f.path, "tenants", t.tenants, "tokens", len(t.callers))
	}
	f.failing = err != nil
}

// load reads the file and takes what it says, if that is in order and not what
// is in force.
func (f *File) load() (changed bool, err error) {
	text, err := readFile(f.path)
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(text)
	if f.Table() != nil && digest == f.digest {
		return false, nil
	}
	t, err := Parse(bytes.NewReader(text))
	if err != nil {
		return false, err
	}
	if err := f.check(t); err != nil {
		return false, err
	}
	f.table.Store(t)
	f.digest = digest
	return true, nil
}

// check refuses what is in order by itself and not here.
func (f *File) check(t *Table) error {
	switch {
	case t.peers > 0 && f.opts.NoPeers:
		return &SyntaxError{t.peers, "names peers, who need a tenant header: configure one, or leave them out"}
	case f.Table().Secured() && !t.Secured():
		return errors.New("holds no token any more, which would let everybody in: start the collector anew if that is meant")
	}
	return nil
}

// readFile returns what a file holds; Parse refuses what is cut off.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	return text, pathless(err)
}

// pathless returns a file's error without the path, which is said once.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// look is what a file looks like from outside; the zero value is none.
type look struct {
	info   os.FileInfo
	failed string
}

func lookAt(path string) look {
	info, err := os.Stat(path)
	if err != nil {
		return look{failed: err.Error()}
	}
	return look{info: info}
}

// same reports whether two looks saw the same version of the same file.
func (l look) same(other look) bool {
	if l.info == nil || other.info == nil {
		return l.info == nil && other.info == nil && l.failed == other.failed
	}
	return l.info.Size() == other.info.Size() && l.info.ModTime().Equal(other.info.ModTime()) && os.SameFile(l.info, other.info)
}
