package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/timeblob/timeblob/local"
)

// defaultData is where the embedded store is unless flags say otherwise.
const defaultData = "./data"

// placeForms is what help says about the URLs of stores.
const placeForms = `Without --index and --blobs everything is kept in one directory. With them, entries are kept in a table
of DynamoDB and blobs in a bucket of S3, in which any number of collectors may share, Scope's own among them.
What stands for the host in their URLs is a region of Amazon's, as us-east-1, or a server that speaks the
protocol, as 127.0.0.1:9000; a server whose name looks like a region needs its port. Without key:secret@ the
credentials are those that Amazon's tools use. Arguments can be seen by other users of the machine, so
that URLs with secrets are better kept in the environment.

After a ? the URLs take parameters. Both: attempts, attempt-timeout, timeout and, with a server, region and
tls. --index: partitions, lateness, retention, and read-units and write-units of a provisioned table.
The greatest number of partitions that a writer was given is kept in the table; all others follow it.
--blobs: parallel, max-blob, hedge, path-style, unconditional. --cache: ` + cacheParameters

// placeFlags are those that name a store other than the embedded one.
var placeFlags = []string{"index", "blobs", "cache", "create"}

// place is where a store is: in a directory or, when table is not nil, in a
// table and a bucket.
type place struct {
	data, indexURL, blobsURL, cacheURL string
	create                             bool // make table and bucket

	table  *dynamoTable
	bucket *s3Bucket
	cache  *cache // nil for none
}

// setup is how to open a store, apart from where it is.
type setup struct {
	logger    *slog.Logger
	metrics   prometheus.Registerer // nil for none
	retention time.Duration         // 0 for what the place says
	existing  bool                  // the directory must hold a store
	instead   string                // what to do when a running collector holds the directory
}

// place defines the flags that name a store. The caller excludes what is
// there beside them, and then lets the place be checked.
func (f *flags) place(data string) *place {
	pl := &place{}
	f.StringVar(&pl.data, "data", data, "the `DIR` of the embedded store")
	f.StringVar(&pl.indexURL, "index", "", "keep entries in the table at a `URL`: dynamodb://[key:secret@]region-or-host[:port]/table")
	f.StringVar(&pl.blobsURL, "blobs", "", "keep blobs in the bucket at a `URL`: s3://[key:secret@]region-or-host[:port]/bucket")
	f.StringVar(&pl.cacheURL, "cache", "", "read blobs through memcached at a `URL`: memcached://host[:port][,host[:port]…] "+
		"or, by the SRV records of _service._tcp.host, memcached+srv://service/host")
	return pl
}

// creating defines the flag that makes table and bucket.
func (f *flags) creating(pl *place) *place {
	f.BoolVar(&pl.create, "create", false, "make the table and the bucket where they are not there")
	return pl
}

// check reads the URLs. Its errors hold no secrets, which is why the URLs are
// not read by flag.Value: package flag says the values that those refuse.
func (pl *place) check() error {
	switch {
	case (pl.indexURL == "") != (pl.blobsURL == ""):
		return errors.New("--index and --blobs go together")
	case pl.indexURL == "" && (pl.cacheURL != "" || pl.create):
		return errors.New("--cache and --create go with --index and --blobs")
	case pl.indexURL == "":
		return nil
	}
	err := pl.parse("--index", "--blobs")
	if err == nil && pl.cacheURL != "" {
		pl.cache, err = parseCache(pl.cacheURL)
		err = named("--cache", err)
	}
	return err
}

// parse reads the URLs of table and bucket, which errors call by those names.
func (pl *place) parse(index, blobs string) (err error) {
	if pl.table, err = parseTable(pl.indexURL); err != nil {
		return named(index, err)
	}
	pl.bucket, err = parseBucket(pl.blobsURL)
	return named(blobs, err)
}

func named(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// parsePlace reads where a store is in one text: a directory, or the URLs of a
// table and a bucket with a comma between them.
func parsePlace(text string) (*place, error) {
	if dir, ok := strings.CutPrefix(text, "dir:"); ok {
		return &place{data: dir}, nil
	}
	if !strings.Contains(text, "://") {
		return &place{data: text}, nil
	}
	comma := strings.LastIndex(text, ","+s3Scheme+"://") // commas may be in secrets, too
	if comma < 0 {
		return nil, errors.New("must be a directory, or the URLs of a table and a bucket: dynamodb://…,s3://…")
	}
	pl := &place{indexURL: text[:comma], blobsURL: text[comma+1:]}
	return pl, pl.parse("the first URL", "the second URL")
}

// embedded tells whether the place is a directory.
func (pl *place) embedded() bool { return pl.table == nil }

// String returns where the store is, without secrets.
func (pl *place) String() string {
	if pl.embedded() {
		return pl.data
	}
	return fmt.Sprintf("%v,%v", pl.table, pl.bucket)
}

// open opens the store that is there. Of a table and a bucket it asks nothing
// unless it is to make them.
func (pl *place) open(ctx context.Context, how setup) (*store, error) {
	if !pl.embedded() {
		return pl.openAWS(ctx, &how)
	}
	s, err := pl.openDirectory(&how)
	if errors.Is(err, syscall.EAGAIN) { // what a lock of another process's answers
		err = &heldError{pl.data, how.instead, err}
	}
	return s, err
}

func (pl *place) openDirectory(how *setup) (*store, error) {
	opts := &local.Options{Retention: how.retention, Logger: how.logger}
	if how.existing {
		return openExisting(pl.data, opts)
	}
	return openStore(pl.data, opts)
}

// heldError says that another process holds a directory, and what to do.
type heldError struct {
	dir, instead string
	err          error
}

func (e *heldError) Error() string {
	return fmt.Sprintf("open store %q: another process holds it: when that is a collector, %s", e.dir, e.instead)
}

func (e *heldError) Unwrap() error { return e.err }

func (pl *place) openAWS(ctx context.Context, how *setup) (*store, error) {
	index, err := pl.table.open(ctx, how)
	if err != nil {
		return nil, err
	}
	tier, err := pl.bucket.open(ctx, how)
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	a := &awsStore{index, tier, pl.table, pl.bucket}
	if pl.create {
		if err := a.create(ctx); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	s := &store{
		index: explainedIndex{index, pl.table.location}, authority: explainedTier{tier, pl.bucket.location},
		entries: a.entries, rows: a.rows, retention: pl.table.opts.Retention, close: a.close,
	}
	return s, pl.addCache(ctx, s, how)
}

// addCache puts the cache, if there is one, before the store's authority, and
// closes the store when it cannot.
func (pl *place) addCache(ctx context.Context, s *store, how *setup) error {
	if pl.cache == nil {
		return nil
	}
	if err := pl.cache.open(ctx, s, how); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}
