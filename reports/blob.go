package reports

import (
	"bytes"
	"context"

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
	if c.live.Rests(tenant) && !c.hub.shortcuts.holds(tenant) {
		if done, err := c.rest(ctx, tenant, codec, blob, from); done {
			return err
		}
	}
	_, decoding := spans.Child(ctx, "decode")
	r, keep, err := codec.DecodeToKeep(blob)
	decoding.End(err)
	switch {
	case err != nil:
		return &BodyError{err}
	case keep:
		return c.take(tenant, r, fitted(blob), from)
	}
	return c.take(tenant, r, nil, from)
}

// rest takes a report as its blob; done is false when it must be decoded to be
// taken.
func (c *Collector) rest(ctx context.Context, tenant string, codec wire.Codec, blob []byte, from Origin) (done bool, err error) {
	_, decoding := spans.Child(ctx, "decode")
	facts, err := codec.Examine(blob)
	decoding.End(err)
	switch {
	case err != nil:
		return true, &BodyError{err}
	case !facts.Keep || facts.Shortcut || facts.Over(c.maxNodes):
		return false, nil
	}
	c.metrics.countReceived(tenant, from.Size, false)
	if facts.Fault != nil {
		return true, &InvalidError{facts.Fault}
	}
	return true, c.live.AddPacked(tenant, fitted(blob))
}

// fitted returns data in memory that is not much larger, since it stays there.
func fitted(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return bytes.Clone(data)
	}
	return data
}
