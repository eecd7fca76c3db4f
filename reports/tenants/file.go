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

// Options are the optional settings of a File. nil or a zero field means the default.
type Options struct {
	// Every is the interval at which Run checks the file. The file is read when two checks in a row see the
	// same change, so that a half-written file is not used. Default 1 s.
	Every time.Duration
	// NoPeers refuses the name *. Set it where requests have no tenant header.
	NoPeers bool
	// Registerer registers the metrics; nil for none. Namespace is the prefix of their names. Default
	// "scope".
	Registerer prometheus.Registerer
	Namespace  string
	// Logger logs when the file was read again or could not be used. Default none.
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

// File is a tenants file. While Run runs, the file is read again after each change: it may be rewritten or
// replaced. A faulty or missing file is logged and counted, and the last good version stays in force. So it
// does when a file with tokens becomes one without, which would admit all requests. File is safe for
// concurrent use.
type File struct {
	path    string
	opts    Options
	metrics *fileMetrics
	table   atomic.Pointer[Table]

	mu      sync.Mutex        // guards the fields below
	seen    look              // the last check
	read    look              // the check of the version that was read last; zero for none
	failing bool              // whether that version is not in force
	digest  [sha256.Size]byte // of the version in force
}

// Open reads a tenants file, which must exist and be valid. Its errors name the path and the line, but repeat
// nothing of the file.
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

// Table returns the version in force.
func (f *File) Table() *Table { return f.table.Load() }

// Run checks the file until ctx ends.
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

// Look checks the file once, as Run does. It reads the file when the previous Look saw the same change.
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
		f.opts.Logger.Error("the tenants file is not usable; the previous version stays in force", "path", f.path, "err", err)
	case changed || f.failing:
		f.metrics.taken.Inc()
		f.metrics.good.Set(1)
		t := f.Table()
		f.opts.Logger.Info("read the tenants file again", "path", f.path, "tenants", t.tenants, "tokens", len(t.callers))
	}
	f.failing = err != nil
}

// load reads the file. A valid version that differs from the one in force comes into force.
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

// check refuses a valid table that does not fit this collector or the version before.
func (f *File) check(t *Table) error {
	switch {
	case t.peers > 0 && f.opts.NoPeers:
		return &SyntaxError{t.peers, "names peers, which need a tenant header: configure one, or remove the line"}
	case f.Table().Secured() && !t.Secured():
		return errors.New("has no tokens any more, so every request would be accepted: restart the collector if you want that")
	}
	return nil
}

// readFile returns the content of a file, at most one byte more than Parse accepts.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	return text, pathless(err)
}

// pathless returns a file's error without the path, so that a message names the path once.
func pathless(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// look is the state of a file from os.Stat; the zero value means no file.
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

// same reports whether two looks saw the same version of the file.
func (l look) same(other look) bool {
	if l.info == nil || other.info == nil {
		return l.info == nil && other.info == nil && l.failed == other.failed
	}
	return l.info.Size() == other.info.Size() && l.info.ModTime().Equal(other.info.ModTime()) && os.SameFile(l.info, other.info)
}
