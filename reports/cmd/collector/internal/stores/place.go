package stores

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// DefaultDir is the default directory of the embedded store.
const DefaultDir = "./data"

// Help is the part of help about the URLs of stores.
const Help = `Without --index and --blobs everything is kept in one directory. With them, entries are kept in a table
of DynamoDB and blobs in a bucket of S3, in which any number of collectors may share, Scope's own among them.
What stands for the host in their URLs is a region of Amazon's, as us-east-1, or a server that speaks the
protocol, as 127.0.0.1:9000; a server whose name looks like a region needs its port. Without key:secret@ the
credentials are those that Amazon's tools use. Arguments can be seen by other users of the machine, so
that URLs with secrets are better kept in the environment.

After a ? the URLs take parameters. Both: attempts, attempt-timeout, timeout and, with a server, region and
tls. --index: retention, and read-units and write-units of a provisioned table.
--blobs: parallel, max-blob, path-style, unconditional. --cache: ` + cacheParameters

// FlagNames are the flags that name a store other than the embedded one.
var FlagNames = []string{"index", "blobs", "cache", "create"}

// Place says where a store is: in a directory or, when table is not nil, in a table and a bucket.
type Place struct {
	Data, indexURL, blobsURL, cacheURL string
	Create                             bool // create the table and the bucket
	Format                             wire.Format

	table  *dynamoTable
	bucket *s3Bucket
	cache  *cache // nil for none
}

// DefineFlags defines the flags that name a store. The caller adds the rules about flags that exclude each
// other, and then calls Check.
func DefineFlags(f *cli.Flags, data string) *Place {
	pl := &Place{}
	f.StringVar(&pl.Data, "data", data, "the `DIR` of the embedded store")
	f.StringVar(&pl.indexURL, "index", "", "keep entries in the table at a `URL`: dynamodb://[key:secret@]region-or-host[:port]/table")
	f.StringVar(&pl.blobsURL, "blobs", "", "keep blobs in the bucket at a `URL`: s3://[key:secret@]region-or-host[:port]/bucket")
	f.StringVar(&pl.cacheURL, "cache", "", "read blobs through memcached at a `URL`: memcached://host[:port][,host[:port]…] "+
		"or, by the SRV records of _service._tcp.host, memcached+srv://service/host")
	return pl
}

// DefineCreate defines the flag that creates the table and the bucket.
func (pl *Place) DefineCreate(f *cli.Flags) *Place {
	f.BoolVar(&pl.Create, "create", false, "create the table and the bucket if they do not exist")
	return pl
}

// DefineFormat defines the flag that says how new blobs are compressed.
func (pl *Place) DefineFormat(f *cli.Flags) *Place {
	f.TextVar(&pl.Format, "blob-format", wire.Gzip, "compress new blobs as `FORMAT` gzip or zstd, which takes less time but "+
		"cannot be read by Scope nor by versions before zstd; both are always read")
	return pl
}

// Check parses the URLs. Its errors hold no secrets. Check and not flag.Value parses them, because package
// flag repeats the values in its errors.
func (pl *Place) Check() error {
	switch {
	case (pl.indexURL == "") != (pl.blobsURL == ""):
		return errors.New("--index and --blobs go together")
	case pl.indexURL == "" && (pl.cacheURL != "" || pl.Create):
		return errors.New("--cache and --create go with --index and --blobs")
	case pl.indexURL == "":
		return nil
	}
	err := pl.parse("--index", "--blobs")
	if err == nil && pl.cacheURL != "" {
		pl.cache, err = parseCache(pl.cacheURL)
		err = Named("--cache", err)
	}
	return err
}

// parse parses the URLs of table and bucket. Errors call them by the given names.
func (pl *Place) parse(index, blobs string) (err error) {
	if pl.table, err = parseTable(index, pl.indexURL); err != nil {
		return Named(index, err)
	}
	pl.bucket, err = parseBucket(blobs, pl.blobsURL)
	return Named(blobs, err)
}

// Parse parses the location of a store: a directory, or the URLs of a table and a bucket, separated by a
// comma.
func Parse(flag, text string) (*Place, error) {
	if dir, ok := strings.CutPrefix(text, "dir:"); ok {
		return &Place{Data: dir}, nil
	}
	if !strings.Contains(text, "://") {
		return &Place{Data: text}, nil
	}
	comma := strings.LastIndex(text, ","+s3Scheme+"://") // secrets may contain commas too
	if comma < 0 {
		return nil, fmt.Errorf("%s: must be a directory, or the URLs of a table and a bucket: dynamodb://…,s3://…", flag)
	}
	pl := &Place{indexURL: text[:comma], blobsURL: text[comma+1:]}
	return pl, pl.parse(flag+": the first URL", flag+": the second URL")
}

// Embedded reports whether the place is a directory.
func (pl *Place) Embedded() bool { return pl.table == nil }

// String describes the place without secrets.
func (pl *Place) String() string {
	if pl.Embedded() {
		return pl.Data
	}
	return fmt.Sprintf("%v,%v", pl.table, pl.bucket)
}

// Open opens the store. It sends requests to AWS only when it has to create a table or a bucket.
func (pl *Place) Open(ctx context.Context, how Options) (*Store, error) {
	s, err := pl.open(ctx, &how)
	if err != nil {
		return nil, err
	}
	s.Blobs.Format = pl.Format
	return s, nil
}

func (pl *Place) open(ctx context.Context, how *Options) (*Store, error) {
	if !pl.Embedded() {
		return pl.openAWS(ctx, how)
	}
	if err := checkLink(pl.Data); err != nil {
		return nil, err
	}
	s, err := pl.openDirectory(how)
	if errors.Is(err, syscall.EAGAIN) { // another process holds the lock
		err = &heldError{pl.Data, how.Instead, err}
	}
	return s, err
}

// checkLink returns an error for a link to a directory that does not exist, because a directory cannot be
// created at such a path.
func checkLink(dir string) error {
	link, err := os.Readlink(dir)
	if err != nil {
		return nil // not a link
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open store %q: the link leads to %q, which does not exist: make that directory, or remove the link", dir, link)
	}
	return nil
}

func (pl *Place) openDirectory(how *Options) (*Store, error) {
	opts := &local.Options{Retention: how.Retention, RollUpsFirst: how.RollUpsFirst, Logger: how.Logger, NoLog: how.NoLog}
	if how.Existing {
		return openExisting(pl.Data, opts)
	}
	return OpenDirectory(pl.Data, opts)
}

// heldError says that another process uses a directory, and what to do.
type heldError struct {
	dir, instead string
	err          error
}

func (e *heldError) Error() string {
	return fmt.Sprintf("open store %q: another process uses it: if that is a collector, %s", e.dir, e.instead)
}

func (e *heldError) Unwrap() error { return e.err }

func (pl *Place) openAWS(ctx context.Context, how *Options) (*Store, error) {
	index, err := pl.table.open(ctx, how)
	if err != nil {
		return nil, err
	}
	tier, err := pl.bucket.open(ctx, how)
	if err != nil {
		return nil, errors.Join(err, index.Close())
	}
	a := &awsStore{index, tier, pl.table, pl.bucket}
	if pl.Create {
		if err := a.create(ctx); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	explained := explainedIndex{index, pl.table.location}
	s := &Store{
		Blobs: Blobs, Index: explained, Writer: bucket.NewWriter(explained), Authority: explainedTier{tier, pl.bucket.location},
		Entries: a.entries, Rows: a.rows, Retention: pl.table.opts.Retention, Close: a.close,
	}
	return s, pl.addCache(ctx, s, how)
}

// addCache puts the cache, if there is one, in front of the store's authority. It closes the store when that
// fails.
func (pl *Place) addCache(ctx context.Context, s *Store, how *Options) error {
	if pl.cache == nil {
		return nil
	}
	if err := pl.cache.open(ctx, s, how); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
