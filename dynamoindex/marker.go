package dynamoindex

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The marker's key, which no row has, and its attributes. Frozen.
const (
	markerHour = partitionMark + "partitions"
	markerTime = 0
	attrN      = "n"
	attrWas    = "was"
	attrFrom   = "from"
)

// markerAge is how long an index relies on what it has read in the marker.
// Frozen, as settled is here: a growth takes effect when nobody relies on what
// was before.
const markerAge = time.Minute

// isSame refuses to replace a marker that somebody else has replaced.
const isSame = "attribute_not_exists(#n) OR #n = :n"

// marker is what the table says about its partitions: entries are put over n
// from the Unix second from on, and over was until then.
type marker struct {
	n, was int
	from   int64
}

// unmarked is what holds of a table that has no marker.
var unmarked = marker{n: 1, was: 1}

// at returns over how many partitions entries are put at an instant.
func (m marker) at(now time.Time) int {
	if now.Unix() < m.from {
		return m.was
	}
	return m.n
}

// grows tells whether the marker can be replaced by one with n partitions: a
// growth that has not taken effect is waited for.
func (m marker) grows(n int, now time.Time) bool { return m.n < n && now.Unix() >= m.from }

// grown returns the marker for n partitions of a growth that is written within
// timeout from now on.
func (m marker) grown(n int, now time.Time, timeout time.Duration) marker {
	return marker{n: n, was: m.n, from: now.Add(timeout+markerAge+settled).Unix() + 1}
}

func (m marker) item() item {
	return item{
		attrHour: text(markerHour), attrTime: number(markerTime),
		attrN: number(int64(m.n)), attrWas: number(int64(m.was)), attrFrom: number(m.from),
	}
}

// markerOf returns the marker of an item, or of none.
func markerOf(i item) (marker, error) {
	if len(i) == 0 {
		return unmarked, nil
	}
	n, was, from := intOf(i[attrN]), intOf(i[attrWas]), intOf(i[attrFrom])
	if was < 1 || n < was || n > maxPartitions || from < 0 {
		return marker{}, fmt.Errorf("item %q: %s, was %s, from %s: want 1 to %d partitions and a Unix second",
			markerHour, kind(i[attrN]), kind(i[attrWas]), kind(i[attrFrom]), maxPartitions)
	}
	return marker{n: int(n), was: int(was), from: from}, nil
}

// intOf returns an attribute's value, -1 when it is no integer.
func intOf(v types.AttributeValue) int64 {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return i
		}
	}
	return -1
}

// isMarker tells the marker from the items of entries.
func isMarker(i item) bool {
	hour, ok := i[attrHour].(*types.AttributeValueMemberS)
	return ok && hour.Value == markerHour
}

// spread is the marker as an index knows it, and who is looking at it now.
type spread struct {
	mu     sync.Mutex
	marker marker    // guarded by mu
	until  time.Time // how long to rely on marker; guarded by mu
	look   *look     // under way, or nil; guarded by mu
}

// look is one read of the marker. Its results are set before done is closed.
type look struct {
	done   chan struct{}
	err    error
	gaveUp bool // its caller did: err is nobody else's
}

// join returns the marker when it can be relied on at the instant now and need
// not grow to n, and else the look to wait for, or to take when it is own.
func (s *spread) join(now time.Time, n int) (m marker, l *look, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) && !s.marker.grows(n, now) {
		return s.marker, nil, false
	}
	if s.look != nil {
		return marker{}, s.look, false
	}
	s.look = &look{done: make(chan struct{})}
	return marker{}, s.look, true
}

// end lets those who wait for the look go on.
func (s *spread) end(l *look, m marker, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.err == nil {
		s.marker, s.until = m, until
	}
	s.look = nil
	close(l.done)
}

// known returns the marker as it was at most markerAge ago. One who puts over
// n partitions has it grow to n; who only reads passes 1. Many callers share a
// look, and its error, unless that is that its caller gave up.
func (x *Index) known(ctx context.Context, n int) (marker, error) {
	for {
		now := x.opts.Now()
		m, l, own := x.spread.join(now, n)
		switch {
		case l == nil:
			return m, nil
		case own:
			return x.take(ctx, l, n, now)
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return marker{}, ctx.Err()
		}
		if l.err != nil && !l.gaveUp {
			return marker{}, l.err
		}
	}
}

// take takes the look l on behalf of all who wait for it.
func (x *Index) take(ctx context.Context, l *look, n int, now time.Time) (m marker, err error) {
	l.err = errNoReturn // unless it does
	defer func() { x.spread.end(l, m, now.Add(markerAge)) }()
	m, err = x.readMarker(ctx)
	if err == nil && m.grows(n, now) {
		m, err = x.growMarker(ctx, m, n)
	}
	l.err, l.gaveUp = err, ctx.Err() != nil
	return m, err
}

// errNoReturn ends a look that panicked.
var errNoReturn = errors.New("the read of the table's number of partitions did not return")

// readMarker costs a read unit.
func (x *Index) readMarker(ctx context.Context) (marker, error) {
	found, err := x.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:              &x.table,
		Key:                    keyOf(unmarked.item()),
		ConsistentRead:         aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	if err != nil {
		return marker{}, err
	}
	return markerOf(found.Item)
}

// growMarker replaces old, as the table has just had it, and returns what the
// table holds then: somebody else may have been faster.
func (x *Index) growMarker(ctx context.Context, old marker, n int) (marker, error) {
	grown := old.grown(n, x.opts.Now(), x.opts.Timeout)
	_, err := x.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                 &x.table,
		Item:                      grown.item(),
		ConditionExpression:       aws.String(isSame),
		ExpressionAttributeNames:  names(attrN),
		ExpressionAttributeValues: item{":n": number(int64(old.n))},
		ReturnConsumedCapacity:    types.ReturnConsumedCapacityTotal,
	})
	if _, faster := errors.AsType[*types.ConditionalCheckFailedException](err); faster {
		return x.readMarker(ctx)
	}
	return grown, err
}
