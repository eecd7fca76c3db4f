package natsbus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// listen passes messages to a listener until ctx ends, over one connection after another.
func (b *Bus) listen(ctx context.Context, l *listener) {
	for {
		to, err := b.await(ctx)
		if err != nil {
			return
		}
		b.hear(ctx, to, l)
		select { // wait for another connection, or to retry this one
		case <-to.closed:
		case <-time.After(b.opts.ReconnectWait):
		case <-ctx.Done():
			return
		}
	}
}

// hear subscribes on a connection and passes messages on until ctx ends or the connection is closed for good.
func (b *Bus) hear(ctx context.Context, to *link, l *listener) {
	sub, err := to.conn.SubscribeSync(l.subject)
	b.metrics.count(methodSubscribe, err)
	if err != nil {
		b.complain("cannot subscribe", err)
		return
	}
	defer b.unsubscribe(sub)
	_ = sub.SetPendingLimits(maxWaiting, maxWaitingBytes) // fails after a close, which NextMsg reports below
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, nats.ErrSlowConsumer): // the callback has counted it
			continue
		case err == nil:
			b.metrics.count(methodNext, nil)
			l.handle(m.Data)
			continue
		}
		b.metrics.count(methodNext, err)
		if !errors.Is(err, nats.ErrNoResponders) { // a status message, which anybody may publish
			return
		}
	}
}

// unsubscribe ends a subscription that has not ended with its connection.
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
