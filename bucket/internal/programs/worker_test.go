package programs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/remote"
)

// workerEnv is set in a process that is a collector and runs no tests. It holds
// the servers and the name of the table, as JSON.
const workerEnv = "TIMEBLOB_PROGRAMS_WORKER"

func TestMain(m *testing.M) {
	if stores := os.Getenv(workerEnv); stores != "" {
		if err := work(stores, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// request is a line of a worker's standard input. Questions come over HTTP, and
// have the clock's time of the last request.
type request struct {
	Now      int64
	Do       string // "", "add", "flush", "delete", "delete tenant", "at", "roll up", "verify" or "close"
	Tenant   string
	Value    ids
	At       int64 // the instant, 0 for none
	ID       string
	From, To int64
	Cancel   bool // the context has ended
}

// reply is the line that answers a request. The first reply is to none and holds
// the URL of the questions.
type reply struct {
	URL      string
	Value    ids
	Entries  int
	Err      string
	Canceled bool // Err is context.Canceled
}

// worker is a collector in a process of its own.
type worker struct {
	*inside
	clock atomic.Int64
}

// work serves requests until one of them, or the end of in, closes the collector.
func work(stores string, in io.Reader, out io.Writer) error {
	var at place
	if err := json.Unmarshal([]byte(stores), &at); err != nil {
		return err
	}
	s, err := at.stack()
	if err != nil {
		return err
	}
	w := &worker{}
	w.clock.Store(at.Now)
	if w.inside, err = newInside(s, false, at.Mode, func() time.Time { return time.Unix(0, w.clock.Load()) }); err != nil {
		return err
	}
	url, closeServer, err := w.listen()
	if err != nil {
		return err
	}
	defer closeServer()
	to, from := json.NewEncoder(out), json.NewDecoder(in)
	answer := reply{URL: url}
	for {
		if err := to.Encode(answer); err != nil {
			return err
		}
		var r request
		if err := from.Decode(&r); err != nil {
			return fmt.Errorf("worker: the program ended without a close: %w", err)
		}
		w.clock.Store(r.Now)
		answer = w.do(&r)
		if r.Do == "close" {
			return to.Encode(answer)
		}
	}
}

// listen serves questions, and what the collector holds.
func (w *worker) listen() (url string, closeServer func(), err error) {
	h, err := remote.NewHandler(w.Collector, idstest.Codec{}, &remote.HandlerOptions[ids]{Questions: w.Collector})
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

func (w *worker) do(r *request) (a reply) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.Cancel {
		cancel()
	}
	var err error
	switch r.Do {
	case "add":
		opts := &bucket.AddOptions{ID: r.ID}
		if r.At != 0 {
			opts.At = time.Unix(0, r.At)
		}
		err = w.Add(ctx, r.Tenant, r.Value, opts)
	case "flush":
		err = w.Flush(ctx)
	case "delete":
		_, err = w.Delete(ctx, r.Tenant, time.Unix(0, r.From), time.Unix(0, r.To), &bucket.DeleteOptions{Wait: -1})
	case "delete tenant":
		_, err = w.DeleteTenant(ctx, r.Tenant, &bucket.DeleteOptions{Wait: -1})
	case "at":
		var found bucket.Answer[ids]
		found, err = w.At(ctx, r.Tenant, time.Unix(0, r.At), nil)
		a.Value, a.Entries = found.Value, found.Entries
	case "roll up", "verify":
		err = w.RollUpBetween(ctx, r.Tenant, time.Unix(0, r.From), time.Unix(0, r.To), r.Do == "verify")
	case "close":
		err = w.Close(ctx)
	}
	if err != nil {
		a.Err, a.Canceled = err.Error(), errors.Is(err, context.Canceled)
	}
	return a
}
