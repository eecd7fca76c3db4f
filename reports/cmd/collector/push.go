package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/pause"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"golang.org/x/sync/errgroup"
)

var pushCommand = cli.Command{
	Name: "push",
	Usage: []string{
		"--to URL [--pace[=N]] [--parallel N] [--patience DURATION] [--timeout DURATION] FILE|DIR…",
		"--to URL [--tenant ID] [--tenant-header NAME] [--token TOKEN] [--ca FILE] [--cert FILE --key FILE] … FILE|DIR…",
	},
	Brief: "posts report files to a collector, as a probe does",
	About: `Files are posted as they are: msgpack gzip'd, JSON as JSON. As many as --parallel says are under way at a
time, as fast as it goes or, with --pace, as far apart as the Unix nanoseconds in their names, or N times as
fast. When the collector is not reachable, answers 429 or fails, the post is tried again after a while. If the
collector had accepted it and the answer was lost, it counts once: the collector recognises a report that has
an ID for as long as its window. Push gives up when one report has been refused
in this way for as long as --patience says, or when it would refuse any: with 401, 403, 404 or 405. A report that
the collector calls bad does not stop the others.

` + files.Help,
	Define: func(f *cli.Flags) cli.Action {
		u := &pusher{remote: remote.DefineFlags(f, f.Tenant())}
		f.StringVar(&u.to, "to", "", "the `URL` of the collector, as http://127.0.0.1:4040")
		f.Var(&u.pace, "pace", "post at the intervals between the times in the names; with =`N`, N times as fast")
		f.IntVar(&u.parallel, "parallel", 4, "post `N` files at a time")
		f.DurationVar(&u.patience, "patience", time.Minute, "try each report for a `DURATION`")
		f.Must(func() error { return cli.AtLeastOne("parallel", u.parallel) })
		f.Must(func() error { return cli.Positive("patience", u.patience) })
		f.Must(u.check)
		return u.run
	},
}

// pace is the factor by which reports are posted faster than they were captured. 0 means as fast as possible.
type pace float64

func (v *pace) IsBoolFlag() bool { return true }

func (v *pace) String() string {
	if *v == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*v), 'g', -1, 64)
}

func (v *pace) Set(text string) error {
	if on, err := strconv.ParseBool(text); err == nil {
		*v = 0
		if on {
			*v = 1
		}
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 1e-6 && n <= 1e6) {
		return errors.New("must be a factor from 0.000001 to 1000000")
	}
	*v = pace(n)
	return nil
}

// pusher posts report files.
type pusher struct {
	to       string
	remote   *remote.Flags
	pace     pace
	parallel int
	patience time.Duration

	collector      *remote.Client
	posted, volume atomic.Int64
	waits          sync.Once
	warn           func(format string, args ...any)
}

func (u *pusher) check() error {
	if u.to == "" {
		return errors.New("give --to, the URL of the collector")
	}
	return nil
}

func (u *pusher) run(ctx context.Context, p *cli.Process, args []string) (err error) {
	if u.collector, err = u.remote.At(u.to, u.parallel); err != nil {
		return err
	}
	b, err := files.Gather(p, args)
	if err != nil {
		return err
	}
	u.warn = p.Warn
	defer u.collector.HTTP.CloseIdleConnections()
	start := time.Now()
	err = u.all(ctx, b)
	fmt.Fprintf(p.Stdout, "pushed %s, %s, in %s\n", human.Plural(int(u.posted.Load()), "report"),
		human.Bytes(u.volume.Load()), human.Duration(time.Since(start)))
	return errors.Join(err, b.Err(""))
}

// all posts the files of a batch. It ends early when the collector did not accept a report in time, or would
// refuse every report.
func (u *pusher) all(ctx context.Context, b *files.Batch) error {
	shown := terminal.StartProgress(b.P.Stderr, "push", "file", len(b.Files))
	defer shown.End()
	g, posting := errgroup.WithContext(ctx)
	g.SetLimit(u.parallel)
	due := u.schedule(time.Now())
	for _, path := range b.Files {
		at, err := due(path)
		if err != nil {
			b.Fail(path, err)
			continue
		}
		if pause.For(posting, time.Until(at)) != nil {
			break
		}
		g.Go(func() error {
			defer shown.Add()
			return u.one(posting, b, path)
		})
	}
	err := g.Wait()
	if err != nil {
		err = fmt.Errorf("%w; %d of %s not pushed", err, len(b.Files)-int(u.posted.Load()), human.Plural(len(b.Files), "file"))
	}
	if ctx.Err() != nil {
		return cli.ErrInterrupted
	}
	return err
}

// schedule returns when to post the file of a path.
func (u *pusher) schedule(start time.Time) func(path string) (time.Time, error) {
	var first int64
	started := false
	return func(path string) (time.Time, error) {
		if u.pace == 0 {
			return start, nil
		}
		t, err := files.Time(filepath.Base(path))
		if err != nil {
			return start, err
		}
		if !started {
			first, started = t, true
		}
		return start.Add(time.Duration(float64(t-first) / float64(u.pace))), nil
	}
}

// one posts a file. It returns only errors that concern the collector, not the file.
func (u *pusher) one(ctx context.Context, b *files.Batch, path string) error {
	post, err := files.ReadPost(ctx, path)
	if err == nil {
		err = u.deliver(ctx, post)
	}
	var tired *gaveUpError
	var refused *remote.RefusalError
	switch {
	case err == nil:
		u.posted.Add(1)
		u.volume.Add(int64(len(post.Body)))
	case errors.As(err, &tired), errors.As(err, &refused) && refused.ToAll():
		return fmt.Errorf("%s: %w", path, err)
	case ctx.Err() == nil:
		b.Fail(path, err)
	}
	return nil
}

// gaveUpError says that the collector did not accept a report in time.
type gaveUpError struct {
	patience time.Duration
	err      error // of the last attempt
}

func (e *gaveUpError) Error() string {
	return fmt.Sprintf("gave up after %v: %v", e.patience, e.err)
}

func (e *gaveUpError) Unwrap() error { return e.err }

// retryError is a failure that a retry may overcome.
type retryError struct {
	after time.Duration // the delay that the collector asked for
	err   error
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// deliver posts a report until the collector accepts or rejects it, or u.patience is over.
func (u *pusher) deliver(ctx context.Context, post *files.Post) error {
	end := time.Now().Add(u.patience)
	for wait := 200 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := u.post(ctx, post)
		var again *retryError
		if !errors.As(err, &again) {
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		next := max(wait/2+rand.N(wait), again.after)
		if time.Now().Add(next).After(end) {
			return &gaveUpError{u.patience, err}
		}
		u.waits.Do(func() { u.warn("warning: it tries again, for %v at most: %v", u.patience, err) })
		if err := pause.For(ctx, next); err != nil {
			return err
		}
	}
}

// post sends a report once.
func (u *pusher) post(ctx context.Context, post *files.Post) error {
	req, err := u.collector.Request(ctx, http.MethodPost, nil, post.Body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", post.ContentType)
	if post.Gzipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := u.collector.Do(req)
	if _, refused := errors.AsType[*remote.RefusalError](err); refused {
		return err
	}
	if err != nil {
		return &retryError{err: err}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		return u.collector.Stored(resp)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return &retryError{after: retryAfter(resp), err: u.collector.Refusal(resp)}
	}
	return u.collector.Refusal(resp)
}

// retryAfter returns the delay that the collector asked for.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}
