package reports

import (
	"bytes"
	"context"
	"errors"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/internal/tracing"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// Origin is what is known about a report apart from its content.
type Origin struct {
	Probe string // the ID of the probe that sent it; empty if unknown
	// Body is the report as it was received; nil if unknown. When the same body
	// comes again from the same tenant within a window, and its report has an ID,
	// then it is a client's retry, and the report is merged once.
	Body []byte
}

// byBytes is the bucket's id of a report that has an ID and is added as the blob
// that was received. The bucket tells such reports by their bytes, which hold the
// report's ID.
const byBytes = "bytes"

// postOf returns the options of a report that is added decoded. Without an ID a
// report is another one each time that it comes.
func (o Origin) postOf(r *report.Report) *bucket.AddOptions {
	if r.ID == "" || o.Body == nil {
		return nil
	}
	sum := blob.SumOf(o.Body)
	return &bucket.AddOptions{ID: string(sum[:])}
}

// Add accepts a report. A shortcut appears in live answers for a while and
// signals waiting clients; it is not stored. A regular report is upgraded and
// merged into the tenant's current tick, without the topologies over the limit
// of nodes.
//
// The error is an *InvalidError for a report that no collector should hold, or
// one of [bucket.Collector.Add]: an *index.TenantError, a *bucket.FullError when
// too many bytes wait to be stored, of this tenant or of all, or
// bucket.ErrClosed. No answer holds a report that was refused.
func (c *Collector) Add(ctx context.Context, tenant string, r *report.Report, from Origin) (err error) {
	ctx, adding := startAdd(ctx, tenant, from)
	defer func() { adding.End(err) }()
	if err := c.canAdd(ctx); err != nil {
		return err
	}
	if r == nil {
		return &InvalidError{errors.New("it is nil")}
	}
	return c.addReport(ctx, tenant, r, nil, from)
}

// AddBlob is Add for the encoded report in a blob: gzip'd msgpack that inflates
// to at most limit bytes. If the blob has the form that probes send, the
// collector checks and keeps it. The only report of a tick is stored unchanged; several
// are merged when somebody asks, or when the tick is flushed. That costs less than half
// the time of Decode and Add, and a tenth of the memory. The
// caller must not change the blob afterwards. It is the report's Origin.Body. The error
// is a *BodyError, or one of Add.
func (c *Collector) AddBlob(ctx context.Context, tenant string, blob []byte, limit int64, from Origin) (err error) {
	from.Body = blob
	ctx, adding := startAdd(ctx, tenant, from)
	defer func() { adding.End(err) }()
	if err := c.canAdd(ctx); err != nil {
		return err
	}
	p := &posted{codec: wire.Codec{MaxBytes: limit}, blob: fitted(blob), maxNodes: c.maxNodes}
	if !c.hub.Holds(tenant) { // with shortcuts, the decoded report says which ones it supersedes
		if done, err := c.addEncoded(ctx, tenant, p, from); done {
			return err
		}
	}
	if err := p.decode(ctx); err != nil {
		return err
	}
	if blob = p.blob; !p.keep {
		blob = nil
	}
	return c.addReport(ctx, tenant, p.report, blob, from)
}

// startAdd starts the span of Add or AddBlob.
func startAdd(ctx context.Context, tenant string, from Origin) (context.Context, tracing.Span) {
	ctx, adding := spans.Child(ctx, "Add")
	adding.Text(tracing.Tenant, tenant)
	adding.Int(tracing.Bytes, len(from.Body))
	return ctx, adding
}

func (c *Collector) canAdd(ctx context.Context) error {
	if c.closed.Load() {
		return bucket.ErrClosed
	}
	return ctx.Err()
}

// errDecode says that a report must be added as a value.
var errDecode = errors.New("the report must be added as a value")

// addEncoded adds a report as the blob that it came as. It returns false when the report
// must be added as a value.
func (c *Collector) addEncoded(ctx context.Context, tenant string, p *posted, from Origin) (done bool, err error) {
	e := bucket.Encoded[*report.Report]{Blob: p.blob,
		Check:  func() error { return p.check(ctx) },
		Decode: func() (*report.Report, error) { return p.value(ctx) }}
	err = c.live.AddBlob(ctx, tenant, e, &bucket.AddOptions{ID: byBytes})
	if errors.Is(err, errDecode) {
		return false, nil
	}
	if asError[*BodyError](err) == nil {
		c.metrics.countReceived(tenant, len(from.Body), false)
	}
	return true, err
}

// posted is a report that came as a blob.
type posted struct {
	codec    wire.Codec
	blob     []byte
	maxNodes int

	report *report.Report // nil until it is decoded
	keep   bool           // the blob may be stored
}

// check returns nil for a blob that may be stored unchanged and whose report
// has an ID. It does not decode the blob.
func (p *posted) check(ctx context.Context) error {
	_, decoding := spans.Child(ctx, "decode")
	facts, err := p.codec.Examine(p.blob)
	decoding.End(err)
	switch {
	case err != nil:
		return &BodyError{err}
	case !facts.Keep || facts.Shortcut || !facts.HasID || facts.Over(p.maxNodes):
		return errDecode
	case facts.Fault != nil:
		return &InvalidError{facts.Fault}
	}
	return nil
}

// value returns the report of a blob that check lets pass, upgraded. It returns the errors of check.
func (p *posted) value(ctx context.Context) (*report.Report, error) {
	if err := p.decode(ctx); err != nil {
		return nil, err
	}
	if r := p.report; !p.keep || r.Shortcut || r.ID == "" {
		return nil, errDecode
	}
	r, dropped, err := admissible(p.report, p.maxNodes, report.ValidateDecoded)
	switch {
	case err != nil:
		return nil, &InvalidError{err}
	case len(dropped) > 0:
		return nil, errDecode
	}
	return r, nil
}

// decode decodes the blob, once. The error is a *BodyError.
func (p *posted) decode(ctx context.Context) (err error) {
	if p.report != nil {
		return nil
	}
	_, decoding := spans.Child(ctx, "decode")
	p.report, p.keep, err = p.codec.DecodeToKeep(p.blob)
	decoding.End(err)
	if err != nil {
		return &BodyError{err}
	}
	return nil
}

// addReport adds a decoded report. The blob is its encoded form if that may be
// stored, or nil. The live window holds a regular report before the shortcuts
// that it supersedes are dropped.
func (c *Collector) addReport(ctx context.Context, tenant string, r *report.Report, blob []byte, from Origin) error {
	c.metrics.countReceived(tenant, len(from.Body), r.Shortcut)
	r, dropped, err := admissible(r, c.maxNodes, report.Validate)
	c.metrics.countDropped(tenant, dropped)
	switch {
	case err != nil:
		return &InvalidError{err}
	case r.Shortcut:
		c.hub.Add(tenant, r, from.Probe)
		return nil
	case blob == nil || len(dropped) > 0: // a blob would still hold what was dropped
		err = c.addDecoded(ctx, tenant, r, from)
	default:
		opts := &bucket.AddOptions{}
		if r.ID != "" {
			opts.ID = byBytes
		}
		err = c.live.AddBlob(ctx, tenant, bucket.Encoded[*report.Report]{Blob: blob,
			Check:  func() error { return nil }, // without a check AddBlob would not call Decode, which costs nothing here
			Decode: func() (*report.Report, error) { return r, nil }}, opts)
	}
	if err == nil {
		c.hub.Supersede(tenant, r, from.Probe)
	}
	return err
}

// largeReport is from how many bytes of memory on a report is held as its blob, as if it had come as one. A report of one
// letter 50 million times is a blob of 50 kB.
const largeReport = 8 << 20

// addDecoded adds a report that came without a blob that may be stored.
func (c *Collector) addDecoded(ctx context.Context, tenant string, r *report.Report, from Origin) error {
	if report.Size(r) >= largeReport {
		if encoded, err := c.store.Encode(r); err == nil { // else Add returns the error or, without a journal, the flush logs it
			e := bucket.Encoded[*report.Report]{Blob: encoded, Decode: func() (*report.Report, error) { return r, nil }}
			return c.live.AddBlob(ctx, tenant, e, from.postOf(r))
		}
	}
	return c.live.Add(ctx, tenant, r, from.postOf(r))
}

// fitted returns data in a slice that wastes little memory, since it is kept.
func fitted(data []byte) []byte {
	if cap(data)-len(data) > len(data)/8 {
		return bytes.Clone(data)
	}
	return data
}
