package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/ugorji/go/codec"

	"github.com/timeblob/timeblob/bench/peers/scope"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// corpus is where the reports are, from this module's directory.
const corpus = "../../reports/testdata/corpus/k8s-node"

// codecOf decodes and encodes what is not compressed.
type codecOf struct {
	name, note string
	decode     func(data []byte) (any, error)
	encode     func(value any) ([]byte, error)
}

var codecs = []codecOf{
	{"timeblob wire", "checks, sorts, shares strings",
		func(data []byte) (any, error) { return wire.DecodeMsgpack(data) },
		func(value any) ([]byte, error) { return wire.AppendMsgpack(nil, value.(*report.Report)) }},
	{"ugorji codec, generated code", "into maps, as Scope; checks nothing", decodeScope, encodeScope},
	{"gunzip of the same reports", "a yardstick, not a codec", nil, nil},
}

// scopeHandle writes times and strings as Scope does.
func scopeHandle() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.TimeNotBuiltin = true
	return h
}

var handle = scopeHandle()

func decodeScope(data []byte) (any, error) {
	r := new(scope.Report)
	return r, codec.NewDecoderBytes(data, handle).Decode(r)
}

func encodeScope(value any) ([]byte, error) {
	var data []byte
	err := codec.NewEncoderBytes(&data, handle).Encode(value)
	return data, err
}

func codecWork(s scale) []work {
	var decode, decodeAllocations, encode []contender
	for _, c := range codecs {
		decode = append(decode, decoding(s, c, false))
		if c.decode == nil {
			continue
		}
		decodeAllocations = append(decodeAllocations, decoding(s, c, true))
		encode = append(encode, encoding(s, c))
	}
	return []work{
		{name: "codec: decode a report of a Kubernetes node, not compressed", unit: "ms", contenders: decode},
		{name: "codec: decode a report of a Kubernetes node, not compressed", unit: "allocations", contenders: decodeAllocations},
		{name: "codec: encode a report of a Kubernetes node, not compressed", unit: "ms", contenders: encode},
	}
}

// reports returns the corpus, compressed and not.
func reports(s scale) (blobs, plain [][]byte, err error) {
	names, err := filepath.Glob(filepath.Join(corpus, "*.msgpack.gz"))
	if err != nil || len(names) < s.reports {
		return nil, nil, errors.Join(err, fmt.Errorf("only %d reports in %s: run it in bench/peers", len(names), corpus))
	}
	for _, name := range names[:s.reports] {
		blob, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		data, err := gunzip(blob)
		if err != nil {
			return nil, nil, err
		}
		blobs, plain = append(blobs, blob), append(plain, data)
	}
	return blobs, plain, nil
}

func gunzip(blob []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

func decoding(s scale, c codecOf, count bool) contender {
	return contender{name: c.name, note: c.note, open: func() (func() (float64, error), func() error, error) {
		input, plain, err := reports(s)
		decode := func(blob []byte) (any, error) { return gunzip(blob) }
		if c.decode != nil {
			input, decode = plain, c.decode
		}
		return func() (float64, error) {
			return perReport(count, len(input), func() error {
				for _, data := range input {
					if _, err := decode(data); err != nil {
						return err
					}
				}
				return nil
			})
		}, nil, err
	}}
}

func encoding(s scale, c codecOf) contender {
	return contender{name: c.name, note: c.note, open: func() (func() (float64, error), func() error, error) {
		_, plain, err := reports(s)
		var values []any
		for _, data := range plain {
			value, failed := c.decode(data)
			err = errors.Join(err, failed)
			values = append(values, value)
		}
		return func() (float64, error) {
			return perReport(false, len(values), func() error {
				for _, value := range values {
					if _, err := c.encode(value); err != nil {
						return err
					}
				}
				return nil
			})
		}, nil, err
	}}
}

// perReport repeats f ten times, and returns its milliseconds a report, or its allocations.
func perReport(count bool, n int, f func() error) (float64, error) {
	const times = 10
	repeated := func() error {
		for range times {
			if err := f(); err != nil {
				return err
			}
		}
		return nil
	}
	if count {
		a, err := allocations(repeated)
		return a / float64(times*n), err
	}
	return onCores(1, func() (float64, error) {
		took, err := cpu(repeated)
		return float64(took) / float64(times*n) / float64(time.Millisecond), err
	})
}
