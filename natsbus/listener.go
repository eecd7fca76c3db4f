package natsbus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// What may wait for a handler: of one subject, messages and their bytes. The
// package's messages are keys of some 50 bytes.
const (
	maxWaiting      = 256
	maxWaitingBytes = 64 << 10
)

// listener is a subscription for as long as its user wants it.
type listener struct {
	subject string
	handle  func(payload []byte)
	stop    context.CancelFunc
}

// listen hands messages to a listener until ctx ends, on whatever connection
// there is.
func (b *Bus) listen(ctx context.Context, l *listener) {
	for {
		to, err := b.await(ctx)
		if err != nil {
			return
		}
		b.hear(ctx, to, l)
		select { // until there is another connection, or this one may be tried again
		case <-to.closed:
		case <-time.After(b.opts.ReconnectWait):
		case <-ctx.Done():
			return
		}
	}
}

// hear subscribes on a connection and hands messages over until ctx ends or
// the connection is closed for good.
func (b *Bus) hear(ctx context.Context, to *link, l *listener) {
	sub, err := to.conn.SubscribeSync(l.subject)
	b.metrics.count(methodSubscribe, err)
	if err != nil {
		b.complain("cannot subscribe", err)
		return
	}
	defer b.unsubscribe(sub)
	_ = sub.SetPendingLimits(maxWaiting, maxWaitingBytes) // fails when it is closed, which shows below
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, nats.ErrSlowConsumer): // counted when it happened
			continue
		case err == nil:
			b.metrics.count(methodNext, nil)
			l.handle(m.Data)
			continue
		}
		b.metrics.count(methodNext, err)
		if !errors.Is(err, nats.ErrNoResponders) { // a message that is none, which anybody may send
			return
		}
	}
}

// unsubscribe ends a subscription, unless its connection has ended it.
func (b *Bus) unsubscribe(sub *nats.Subscription) {
	if !sub.IsValid() {
		return
	}
	err := sub.Unsubscribe()
	b.metrics.count(methodUnsubscribe, err)
	if err != nil {
		b.complain("cannot unsubscribe", err)
	}
}
