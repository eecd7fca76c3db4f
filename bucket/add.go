package bucket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/once"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/guard"
)

// AddOptions say how a value is added; nil means now, without an id.
type AddOptions struct {
	// At is the value's instant, which must not be in the future, nor longer ago
	// than entries are kept; see LevelOptions.Retention. The value is stored as an entry of its own, under this instant or, if it is taken,
	// under one up to a few microseconds later. The zero Time, the default,
	// means now: the value is merged into the open tick.
	At time.Time
	// ID makes an Add repeatable: a value of the same tenant and ID, and for
	// AddBlob with the same blob, is added once within a window. Add returns
	// nil for the repetition. Of a tenant the last 65 536 ids are remembered,
	// by this collector alone, and until it ends unless it has a journal that
	// keeps records for a window. An empty ID is never a repetition.
	ID string
}

// Encoded is a value that came as a blob.
type Encoded[T any] struct {
	// Blob is the encoded value. The collector may keep it: nobody may change
	// it any more.
	Blob []byte
	// Check returns an error for a blob that the store must not hold as it
	// is. The collector calls it, at most once, before it keeps the blob
	// without decoding it. Nil means that the blob is good.
	Check func() error
	// Decode returns the blob's value. The collector calls it, at most once,
	// when it must merge the value now, or is likely to merge it soon. It then calls no
	// Check, so Decode must refuse what Check refuses. Nil means the blob store's Decode.
	Decode func() (T, error)
}

// Add adds a value of a tenant. A value of now is merged into the tenant's open
// tick, at the cost of one merge. Of 64 small values that come to one tick, one Add also
// encodes the tick's value, to see whether one of them spoils it. From then on the value is in every answer
// that covers it. The collector keeps v: nobody may change it any more. With a
// journal, Add encodes v, and returns when the journal has it.
//
// The error is an *index.TenantError, a *FullError when too much of this tenant
// or of all is pending, a *TenantLimitError, an *InstantError, a *FinalError
// for a past instant whose span is kept as one merge only, ErrClosed, the
// context's, or an error of the merge, such as a *PanicError. With a journal it may
// also be a *JournalError, an *EncodeError or a *TooLargeError. The value is
// then in no answer and is not stored, with one exception: when ctx ended while
// the value was on its way into the journal, a restart may find it there.
func (c *Collector[T]) Add(ctx context.Context, tenant string, v T, opts *AddOptions) error {
	size, err := c.user.weigh(v)
	if err != nil {
		return fmt.Errorf("weigh a value of tenant %q: %w", tenant, err)
	}
	return c.add(ctx, tenant, &input[T]{value: v, decoded: true, size: size}, opts)
}

// AddBlob adds a value together with its encoded form, which the store may keep
// unchanged. The collector decides what it needs. It calls Check and keeps the blob
// alone when the value is the first of its tick and more are not likely, and with
// CollectorOptions.MergeLater also when a few more wait. That saves decoding, encoding
// and most of the memory. Where several values come in a tick, it calls Decode in place
// of Check, and keeps the value beside the blob until they are merged, as long as
// LiveCacheBytes has room. Otherwise it calls Decode and merges the value. Both are
// called without any lock. A value that is kept as its blob is not merged yet, and may
// not be decoded. If that fails later, AddBlob has taken the value: it is stored by itself, and
// questions about it are a *HeldError or a *MergeError, or partial answers without it,
// until it is deleted. The other values of the tick are not harmed.
//
// The error is one of Add, a *TooLargeError, or the error of Check or Decode,
// unchanged.
func (c *Collector[T]) AddBlob(ctx context.Context, tenant string, e Encoded[T], opts *AddOptions) error {
	if e.Blob == nil {
		return errors.New("add a blob: it is nil")
	}
	if size := int64(len(e.Blob)); size > c.opts.MaxBlob {
		return &TooLargeError{Tenant: tenant, Size: size, Limit: c.opts.MaxBlob}
	}
	return c.add(ctx, tenant, &input[T]{blob: e.Blob, check: e.Check, decode: e.Decode, checked: e.Check == nil}, opts)
}

// input is a value that is being added.
type input[T any] struct {
	value   T
	decoded bool  // value is there
	size    int64 // bytes of memory that value takes

	blob    []byte // nil when the value came without one
	checked bool   // the blob is known to be good
	check   func() error
	decode  func() (T, error)

	past  bool // the value has an instant, at
	at    int64
	hasID bool
	id    once.ID

	repeated bool   // the id was added before, and the value with it
	record   uint64 // in the journal; 0 when there is none yet
	recorded int64  // the time that the record says, Unix nanoseconds
	taken    bool   // a tenant has the value
}

// need says what an Add has to do, without the tenant's mutex, before it tries
// again.
type need int

const (
	needNothing need = iota // the value was added
	needTenant              // the collector has forgotten this tenant
	needCheck               // whether the blob is good
	needValue               // of the blob
	needTick                // the value of the open tick, which is held as its blob
	needRecord              // a record of the value in the journal
	needProof               // the value was added; whether the open tick's value can be encoded
)

// good reports whether the value is known to be one that may be stored.
func (in *input[T]) good() bool { return in.decoded || in.checked }

// add takes a value in. What the tenant's state asks for, to check or to decode
// a blob, is done without the tenant's mutex, and then the tenant is asked
// again.
func (c *Collector[T]) add(ctx context.Context, tenant string, in *input[T], opts *AddOptions) error {
	if err := index.CheckTenant(tenant); err != nil {
		return err
	}
	if err := c.apply(in, opts); err != nil {
		return err
	}
	if !c.adding.Enter() {
		return ErrClosed
	}
	defer c.adding.Leave()
	if err := c.admit(tenant, in); err != nil {
		return err
	}
	if in.past {
		if err := c.mayAdd(ctx, tenant, opts.At); err != nil {
			return err
		}
	}
	defer c.forgetRecord(in)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := c.tenants.get(tenant)
		if err != nil {
			return c.refused(err)
		}
		need, whole, err := t.add(ctx, in)
		switch {
		case err != nil:
			return c.refused(err)
		case need == needNothing && in.repeated:
			c.metrics.repeated.Inc()
			return nil
		case need == needNothing || need == needProof:
			c.prove(ctx, t, whole)
			c.remindOfRun()
			return nil
		case need == needCheck:
			err = in.runCheck()
		case need == needValue:
			err = c.decodeInput(in)
		case need == needTick:
			err = c.decodeTick(ctx, t, whole)
		case need == needRecord:
			err = c.record(ctx, tenant, in)
		}
		if err != nil {
			return err
		}
	}
}

// decodeTick decodes the value of an open tick. Values that cannot be decoded, or not
// merged, end their tick, so that they stop no others.
func (c *Collector[T]) decodeTick(ctx context.Context, t *tenant[T], whole *lazy[T]) error {
	if err := c.lazies.decodeInPlace(whole); err != nil {
		return t.sealSpoilt(ctx, whole)
	}
	return nil
}

// prove encodes the value of an open tick; nil is none to be proven. A value that
// cannot be encoded ends its tick.
func (c *Collector[T]) prove(ctx context.Context, t *tenant[T], whole *lazy[T]) {
	if whole == nil {
		return
	}
	blob, _, err := c.lazies.blobOf(whole)
	switch {
	case err != nil || int64(len(blob)) > c.opts.MaxBlob:
		if t.sealSpoilt(ctx, whole) != nil {
			t.unproved.Store(whole) // the value was taken, and a later Add finds out
		}
	case c.user.decoder != nil:
		t.prove(ctx, whole, encodedOnly[T](blob))
	default:
		t.prove(ctx, whole, whole)
	}
}

// apply takes over the options.
func (c *Collector[T]) apply(in *input[T], opts *AddOptions) error {
	if opts == nil {
		return nil
	}
	if in.hasID = opts.ID != ""; in.hasID {
		in.id = once.IDOf(opts.ID, in.blob)
	}
	if opts.At.IsZero() {
		return nil
	}
	if opts.At.After(c.opts.Now()) {
		return &InstantError{opts.At, "is in the future"}
	}
	if opts.At.Before(firstInstant) || !opts.At.Before(lastInstant) {
		return &InstantError{opts.At, "must lie between the years 1678 and 2262, as Unix nanoseconds do in 64 bits"}
	}
	in.past, in.at = true, opts.At.UnixNano()
	return nil
}

// maxLook bounds the look whether a past instant is final. A value that Add takes
// in spite of it is refused when it is stored.
const maxLook = time.Second

// mayAdd returns a *FinalError for a past instant whose span is final, and an
// *InstantError for one whose entry would be removed at once. It asks the index
// only about instants that are about as old as retention.
func (c *Collector[T]) mayAdd(ctx context.Context, tenant string, at time.Time) error {
	if c.past.protocol == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxLook)
	defer cancel()
	err := finalError(c.past.protocol.MayWrite(ctx, tenant, at.UnixNano()))
	if _, final := errors.AsType[*FinalError](err); final {
		return err
	}
	if keep := c.past.entriesKept(ctx); keep > 0 && at.Before(c.opts.Now().Add(-keep)) {
		return &InstantError{at, fmt.Sprintf("is longer ago than entries are kept, which is %v", keep)}
	}
	return nil
}

// admit refuses what cannot be taken before a tenant is made for it.
func (c *Collector[T]) admit(tenant string, in *input[T]) error {
	size := max(in.size, int64(len(in.blob)), 1)
	t := c.tenants.lookup(tenant)
	if err := c.budget.check(t.accounts(), size, c.budget.limitOf(tenant)); err != nil {
		return c.refused(err)
	}
	if t != nil {
		return nil
	}
	if err := c.tenants.room(tenant); err != nil {
		return c.refused(err)
	}
	if in.blob != nil && c.user.decoder != nil {
		return in.runCheck() // a new tenant keeps the blob, so it has to be checked anyway
	}
	return nil
}

// refused counts an error that is a limit's.
func (c *Collector[T]) refused(err error) error {
	_, full := errors.AsType[*FullError](err)
	_, many := errors.AsType[*TenantLimitError](err)
	if full || many {
		c.metrics.refused.Inc()
	}
	return err
}

// runCheck checks the blob, once.
func (in *input[T]) runCheck() (err error) {
	if in.checked {
		return nil
	}
	defer guard.Recover("check", &err)
	if err = in.check(); err == nil {
		in.checked = true
	}
	return err
}

// decodeInput decodes the blob.
func (c *Collector[T]) decodeInput(in *input[T]) (err error) {
	if in.value, err = in.runDecode(c.user); err != nil {
		return err
	}
	if in.size, err = c.user.weigh(in.value); err != nil {
		return err
	}
	in.decoded = true
	return nil
}

func (in *input[T]) runDecode(u *userFuncs[T]) (v T, err error) {
	if in.decode == nil {
		return u.decode(in.blob)
	}
	defer guard.Recover("decode", &err)
	return in.decode()
}
