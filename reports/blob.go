package reports

import (
	"bytes"
	"context"
	"errors"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// BodyError says that a blob is no report. It wraps what [wire.Codec.Decode]
// says.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return e.Err.Error() }

func (e *BodyError) Unwrap() error { return e.Err }

// AddBlob is Add of the report in a blob, gzip'd msgpack that inflates to at
// most limit bytes. The only report of a tick waits, is stored and stays in the
// live window as the blob that it came as, if that is what a probe would send;
// to take it in costs half of what Decode and Add do, and a tenth of the
// memory. The collector may keep the blob: nobody may change it any more. The
// error is a *BodyError, or one of Add.
func (c *Collector) AddBlob(ctx context.Context, tenant string, blob []byte, limit int64, from Origin) (err error) {
	ctx, adding := begunAdd(ctx, tenant, from)
	defer func() { adding.End(err) }()
	if err := c.mayAdd(ctx, tenant); err != nil {
		return err
	}
	codec := wire.Codec{MaxBytes: limit}
	var decoded *report.Report
	var keep bool
	decode := func() (*report.Report, error) {
		_, decoding := spans.Child(ctx, "decode")
		defer func() { decoding.End(err) }()
		if decoded, keep, err = codec.DecodeToKeep(blob); err != nil {
			return nil, &BodyError{err}
		}
		return nil, errTakeDecoded
	}
	if c.hub.shortcuts.holds(tenant) {
		_, err = decode()
	} else {
		check := func() error { return c.checkBlob(ctx, codec, blob) }
		err = c.live.AddBlob(ctx, tenant, bucket.Encoded[*report.Report]{Blob: fitted(blob), Check: check, Decode: decode}, nil)
	}
	if errors.Is(err, errTakeDecoded) && decoded == nil {
		_, err = decode()
	}
	if !errors.Is(err, errTakeDecoded) {
		if _, ok := errors.AsType[*BodyError](err); !ok {
			c.metrics.countReceived(tenant, from.Size, false)
		}
		return err
	}
	if !keep {
		blob = nil
	}
	return c.take(ctx, tenant, decoded, fitted(blob), from)
}

// errTakeDecoded says that a report cannot be taken as its blob: it has to be
// decoded, and taken by take.
var errTakeDecoded = errors.New("the report has to be taken decoded")

// checkBlob returns nil for a blob that may be stored as it is.
func (c *Collector) checkBlob(ctx context.Context, codec wire.Codec, blob []byte) error {
	_, decoding := spans.Child(ctx, "decode")
	facts, err := codec.Examine(blob)
	decoding.End(err)
	switch {
	case err != nil:
		return &BodyError{err}
	case !facts.Keep || facts.Shortcut || facts.Over(c.maxNodes):
		return errTakeDecoded
	}
	if facts.Fault != nil {
		return &InvalidError{facts.Fault}
	}
	return nil
}

// fitted returns data in memory that is not much larger, since it stays there.
func fitted(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return bytes.Clone(data)
	}
	return data
}
