package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/timeblob/timeblob/internal/human"
)

// Outage is what a stretch of time did in which the bucket did not answer.
type Outage struct {
	Begun, Ended time.Duration // since the start
	Drained      time.Duration // from the end until nothing old waited to be stored; negative when that did not come
	Steady       time.Duration // the length of the time before, for comparison
	Grew         float64       // growth of resident memory in Steady, as a fraction
	Before, Most int64         // most resident memory in bytes: in Steady, and from the outage's begin until Drained
	Oldest       float64       // age in seconds of the oldest value that waited
	Waited       int           // values, at the most
	Rate, Drain  Rate          // before the outage, and while what waited was stored
}

// Rate is what a collector did in a stretch of time.
type Rate struct {
	Stored float64 // values a second
	CPU    float64 // processors
}

// rateBetween returns what was done between two samples.
func rateBetween(a, b Sample) Rate {
	if a.At >= b.At {
		return Rate{}
	}
	s := (b.At - a.At).Seconds()
	return Rate{Stored: float64(b.Stored-a.Stored) / s, CPU: (b.CPUSeconds - a.CPUSeconds) / s}
}

// steadyFor is how long before an outage memory is watched, for comparison.
const steadyFor = 2 * time.Minute

// old is the age in seconds from which on a value that waits is left from the outage.
const old = 10

// suffer takes the bucket away for the time that the options say. It returns a function that waits for the end of the
// outage and sums up the samples.
func (s *siege) suffer(ctx context.Context, t *target, stderr io.Writer) (sum func([]Sample) (*Outage, error)) {
	if s.opts.outage == 0 {
		return func([]Sample) (*Outage, error) { return nil, nil }
	}
	o, failed := &Outage{}, make(chan error, 1)
	go func() { failed <- s.takeAway(ctx, t.store, o, stderr) }()
	return func(samples []Sample) (*Outage, error) {
		err := <-failed
		o.sum(samples)
		return o, err
	}
}

// takeAway pauses the bucket. It always lets it go on again.
func (s *siege) takeAway(ctx context.Context, store *backend, o *Outage, stderr io.Writer) error {
	if !sleepUntil(ctx, s.begun.Add((s.opts.duration-s.opts.outage)/3)) {
		return ctx.Err()
	}
	fmt.Fprintln(stderr, "load: the bucket stops answering")
	if err := store.pause(); err != nil {
		return err
	}
	o.Begun = time.Since(s.begun)
	sleepUntil(ctx, s.begun.Add(o.Begun+s.opts.outage))
	o.Ended = time.Since(s.begun)
	fmt.Fprintln(stderr, "load: the bucket answers again")
	return store.resume()
}

// sum finds out from the samples how much memory the outage took, and when it was over.
func (o *Outage) sum(samples []Sample) {
	o.Drained, o.Steady = -1, min(steadyFor, o.Begun/2)
	var before []Sample
	var ended, drained Sample
	for _, s := range samples {
		switch {
		case s.At < o.Begun-o.Steady:
			continue
		case s.At < o.Begun:
			before, o.Before = append(before, s), max(o.Before, s.RSS)
			continue
		case o.Drained >= 0:
			continue
		case s.At <= o.Ended:
			ended = s
		case s.Oldest < old:
			o.Drained = s.At - o.Ended
		}
		drained = s
		o.Most, o.Oldest, o.Waited = max(o.Most, s.RSS), max(o.Oldest, s.Oldest), max(o.Waited, s.Waiting)
	}
	o.Drain = rateBetween(ended, drained)
	if n := len(before); n > 0 {
		o.Grew, o.Rate = growth(before, o.Steady), rateBetween(before[0], before[n-1])
	}
}

func (o *Outage) verdict() error {
	switch {
	case o == nil:
		return nil
	case o.Oldest < old:
		return errors.New("the outage was too short for anything to wait")
	case o.Drained < 0:
		return errors.New("at the end values of the outage still wait to be stored")
	case o.Drained > o.Ended-o.Begun:
		return fmt.Errorf("storing what waited took %v, longer than the outage", o.Drained.Round(time.Second))
	}
	return nil
}

func (o *Outage) write(w io.Writer) {
	if o == nil {
		return
	}
	drained := "not until the end"
	if o.Drained >= 0 {
		drained = o.Drained.Round(time.Second).String()
	}
	t := table{{"outage", fmt.Sprintf("%v, from %v on; %d values waited", (o.Ended - o.Begun).Round(time.Second), o.Begun.Round(time.Second), o.Waited)},
		{"drained after", fmt.Sprintf("%s, %.0f values a second (before: %.0f), %.2f processors (before: %.2f)",
			drained, o.Drain.Stored, o.Rate.Stored, o.Drain.CPU, o.Rate.CPU)},
		{"RSS", fmt.Sprintf("%s at most in the %v before, in which it grew by %.1f %%; %s until drained (%+.0f %%)", human.Bytes(o.Before),
			o.Steady.Round(time.Second), 100*o.Grew, human.Bytes(o.Most), 100*(float64(o.Most)/float64(o.Before)-1))}}
	t.write(w)
}
