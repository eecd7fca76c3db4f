package files

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// DefineMaxInflated defines --max-inflated, the limit for the decompressed size of a file.
func DefineMaxInflated(f *cli.Flags) *cli.Size {
	limit := f.Size("max-inflated", wire.DefaultMaxBytes, "refuse files that hold, inflated, more than `BYTES`")
	f.Must(func() error {
		if *limit == 0 {
			return errors.New("--max-inflated must not be 0")
		}
		return nil
	})
	return limit
}

// Loaded is a report that was read from a file.
type Loaded struct {
	Report *report.Report
	Size   int64 // the size of the file in bytes
}

// Load reads a report file of at most limit bytes, decompressed. The ending of the name tells the format;
// without a known ending, the first bytes do. When ctx ends, Load returns, also while it waits for standard
// input or a named pipe. That read then stays behind until the process ends.
func Load(ctx context.Context, stdin io.Reader, path string, limit cli.Size) (*Loaded, error) {
	return await(ctx, func() (*Loaded, error) { return load(stdin, path, limit) })
}

// await returns the result of read, or the error of ctx if that ends first.
func await[T any](ctx context.Context, read func() (T, error)) (result T, err error) {
	done := make(chan struct{})
	var late T
	var failed error
	go func() {
		defer close(done)
		late, failed = read()
	}()
	select {
	case <-done:
		return late, failed
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

func load(stdin io.Reader, path string, limit cli.Size) (*Loaded, error) {
	if path == stdinPath {
		return decodeFrom(stdin, "", limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return decodeFrom(f, Ending(path), limit)
}

func decodeFrom(src io.Reader, ending string, limit cli.Size) (*Loaded, error) {
	counted := &counter{src: src}
	in := bufio.NewReader(counted)
	packed := strings.HasSuffix(ending, ".gz")
	if ending == "" {
		magic, _ := in.Peek(4) // the next read reports an error
		packed = wire.IsBlob(magic)
	}
	plain, err := read(in, packed, int64(limit))
	var large *wire.TooLargeError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("%w (--max-inflated allows more)", err)
	}
	if err != nil {
		return nil, err
	}
	r, err := decode(plain, ending)
	return &Loaded{Report: r, Size: counted.n}, err
}

// read reads what src holds, at most limit bytes. Files that end in .gz may hold
// zstd, because blobs of a store may.
func read(src io.Reader, packed bool, limit int64) ([]byte, error) {
	if packed {
		return wire.ReadBlob(src, limit)
	}
	return wire.ReadBody(src, false, limit)
}

// decode reads a report that is not compressed.
func decode(plain []byte, ending string) (*report.Report, error) {
	isJSON := strings.HasPrefix(ending, ".json")
	if ending == "" {
		isJSON = bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(plain, []byte("\ufeff")), " \t\r\n"), []byte("{"))
	}
	if isJSON {
		return wire.DecodeJSON(plain)
	}
	return wire.DecodeMsgpack(plain)
}

// counter counts the bytes that are read.
type counter struct {
	src io.Reader
	n   int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.src.Read(b)
	c.n += int64(n)
	return n, err
}

// Encode encodes a report in the format of a file name's ending.
func Encode(r *report.Report, ending string) ([]byte, error) {
	switch ending {
	case ".msgpack.gz":
		return stores.Blobs.Encode(r)
	case ".msgpack":
		return wire.AppendMsgpack(nil, r)
	}
	text, err := wire.AppendJSON(nil, r)
	if err != nil || ending == ".json" {
		return append(text, '\n'), err
	}
	return zip(text)
}

// zip compresses b with gzip.
func zip(b []byte) ([]byte, error) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err := w.Close()
	return zipped.Bytes(), err
}

// Write writes a report to a file in the format of the name's ending. The file is replaced as a whole or,
// after an error, unchanged.
func Write(path string, r *report.Report) (err error) {
	data, err := Encode(r, Ending(path))
	if err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".collector-*")
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: "create", Path: path, Err: failed.Err}
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(draft.Name())
		}
	}()
	_, err = draft.Write(data)
	if err := errors.Join(err, draft.Chmod(0o644), draft.Sync(), draft.Close()); err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}

// Post is the body of a request that posts a report, and its headers.
type Post struct {
	Body        []byte
	ContentType string
	Gzipped     bool
}

// ReadPost reads a report file in the form in which a probe would post it. It compresses msgpack if the file
// is not compressed, and leaves JSON unchanged.
func ReadPost(ctx context.Context, path string) (*Post, error) {
	return await(ctx, func() (*Post, error) { return readPost(path) })
}

func readPost(path string) (*Post, error) {
	form := Ending(path)
	if form == "" {
		return nil, errors.New("the name must end in " + strings.Join(Endings, ", "))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if form == ".msgpack" {
		if data, err = zip(data); err != nil {
			return nil, err
		}
	}
	p := &Post{Body: data, ContentType: "application/msgpack", Gzipped: form != ".json"}
	if strings.HasPrefix(form, ".json") {
		p.ContentType = "application/json"
	}
	return p, nil
}
