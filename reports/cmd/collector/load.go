package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// stdinPath stands for standard input among the arguments.
const stdinPath = "-"

// maxInflated defines --max-inflated: how much of a file is read, inflated.
func (f *flags) maxInflated() *size {
	limit := f.size("max-inflated", wire.DefaultMaxBytes, "refuse files that hold, inflated, more than `BYTES`")
	f.must(func() error {
		if *limit == 0 {
			return errors.New("--max-inflated must not be 0")
		}
		return nil
	})
	return limit
}

// loaded is a report out of a file.
type loaded struct {
	report *report.Report
	size   int64 // of the file, in bytes
}

// load reads a report file that holds at most limit bytes, inflated. The ending
// of its name tells its form or, where it has none of a report, its first bytes
// do.
func (p *process) load(path string, limit size) (*loaded, error) {
	if path == stdinPath {
		return decodeFrom(p.stdin, "", limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return decodeFrom(f, ending(path), limit)
}

func decodeFrom(src io.Reader, ending string, limit size) (*loaded, error) {
	counted := &counter{src: src}
	in := bufio.NewReader(counted)
	gzipped := strings.HasSuffix(ending, ".gz")
	if ending == "" {
		magic, _ := in.Peek(2) // what cannot be read fails below
		gzipped = bytes.Equal(magic, []byte{0x1f, 0x8b})
	}
	plain, err := wire.ReadBody(in, gzipped, int64(limit))
	var large *wire.TooLargeError
	if errors.As(err, &large) {
		return nil, fmt.Errorf("%w (--max-inflated allows more)", err)
	}
	if err != nil {
		return nil, err
	}
	r, err := decode(plain, ending)
	return &loaded{report: r, size: counted.n}, err
}

// decode reads a report that is not compressed.
func decode(plain []byte, ending string) (*report.Report, error) {
	isJSON := strings.HasPrefix(ending, ".json")
	if ending == "" {
		isJSON = bytes.HasPrefix(bytes.TrimLeft(plain, " \t\r\n"), []byte("{"))
	}
	if isJSON {
		return wire.DecodeJSON(plain)
	}
	return wire.DecodeMsgpack(plain)
}

// counter counts what is read.
type counter struct {
	src io.Reader
	n   int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.src.Read(b)
	c.n += int64(n)
	return n, err
}

// encode returns a report in the form that an ending names.
func encode(r *report.Report, ending string) ([]byte, error) {
	switch ending {
	case ".msgpack.gz":
		return blobs.Encode(r)
	case ".msgpack":
		return wire.AppendMsgpack(nil, r)
	}
	text, err := wire.AppendJSON(nil, r)
	if err != nil || ending == ".json" {
		return append(text, '\n'), err
	}
	return zip(text)
}

// zip returns b gzip'd.
func zip(b []byte) ([]byte, error) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err := w.Close()
	return zipped.Bytes(), err
}

// writeFile writes a report to a file in the form that its name ends in. The
// file is there whole or, after an error, as it was before.
func writeFile(path string, r *report.Report) (err error) {
	data, err := encode(r, ending(path))
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

// post is the body of a request that posts a report, and what it is.
type post struct {
	body        []byte
	contentType string
	gzipped     bool
}

// readPost reads a report file as a probe would post it: msgpack is gzip'd if
// the file is not, JSON is left as it is.
func readPost(path string) (*post, error) {
	form := ending(path)
	if form == "" {
		return nil, errors.New("the name must end in " + strings.Join(endings, ", "))
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
	p := &post{body: data, contentType: "application/msgpack", gzipped: form != ".json"}
	if strings.HasPrefix(form, ".json") {
		p.contentType = "application/json"
	}
	return p, nil
}
