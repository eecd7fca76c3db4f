package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/idstest"
	"github.com/timeblob/timeblob/journal"
	"github.com/timeblob/timeblob/tiered"
)

// node is a place where a collector runs. Its process comes and goes; its journal's directory stays.
type node struct {
	clock
	world   *world
	name    string
	journal string // the directory
	small   bool   // the journal is so small that it becomes full
	lives   int
	set     atomic.Int64 // how often the clock was set
	repeats atomic.Int64 // how many clients are just repeating a value
	stall   stall        // of the journal's disk

	mu      sync.Mutex // guards what follows
	process *process
}

// process is one life of a collector.
type process struct {
	*stores
	node      *node
	collector *bucket.Collector[ids]
	store     *tiered.Store[ids]
	log       *journal.Journal
	ctx       context.Context // ends with the process
	end       context.CancelFunc
	ended     chan struct{}
}

// running returns the node's process, or nil while there is none.
func (n *node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

func (n *node) become(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process = p
}

// start starts a collector on the node's journal.
func (n *node) start() {
	w := n.world
	opts := &journal.Options{Sync: w.groupCommit(), SegmentBytes: 16 << 10, MaxBytes: 1 << 20, Keep: 2 * window}
	if n.small {
		opts.SegmentBytes, opts.MaxBytes = 1<<10, 6<<10
	}
	log, err := journal.Open(n.journal, opts)
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range log.Damage() {
		w.Errorf("seed %d: %s: a kill harmed the journal: %v", w.seed, n.name, d)
	}
	w.model.endsTicks(n, 0)
	s := w.newStores()
	p := &process{stores: s, node: n, store: s.open(w), log: log, ended: make(chan struct{})}
	co := &bucket.CollectorOptions[ids]{
		Window: window, Tick: tick, Deadline: deadline, Backoff: 50 * time.Millisecond, MaxBackoff: time.Second,
		Journal: w.mutant.journal(&stalling{log, &n.stall}), Size: func(v ids) int64 { return int64(8 * len(v)) }, Logger: quiet, Now: n.now,
		Failed: func(tenant string, v ids, err error) {
			w.Errorf("seed %d: %s gave up %v of tenant %s: %v", w.seed, n.name, v, tenant, err)
		},
		Stored: w.storedBy,
		Past:   bucket.QuantizerOptions[ids]{Quantum: time.Second, CacheBytes: 1 << 20, Levels: w.levels()}}
	if w.disk != nil {
		co.Alone, co.Committer, co.SyncEvery = true, gateIndex{s, ""}, 5*tick
		co.Sync = w.mutant.sync(diskOf{w.disk, s}.Sync)
	}
	p.collector, err = bucket.NewCollector(s.indexOf(), p.store, idstest.Merge, co)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.ctx, p.end = ctx, cancel
	go func() {
		defer close(p.ended)
		if err := p.collector.Run(ctx); err != nil {
			w.Errorf("seed %d: run: %v", w.seed, err)
		}
	}()
	n.become(p)
}

// kill ends the node's process as SIGKILL does: from now on it sends no request, and its journal is what is in the
// files at this moment. Requests that are on their way may arrive later.
func (n *node) kill() {
	p := n.running()
	if p == nil {
		return
	}
	synctest.Wait()
	p.dead.Store(true)
	n.lives++
	next := filepath.Join(n.world.dir, fmt.Sprint(n.name, "-life-", n.lives))
	n.world.mutant.copy(n, next)
	if n.world.disk != nil {
		n.world.disk.crash()
	}
	n.become(nil)
	n.world.gone = append(n.world.gone, p.stores)
	n.stall.end()
	p.end()
	p.bury()
	n.world.model.killed(n)
	n.journal = next
	n.world.stats.kills.Add(1)
}

// bury ends the goroutines of a dead process.
func (p *process) bury() {
	<-p.ended
	synctest.Wait() // adds that were under way have failed
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.collector.Close(gone)
	_ = p.store.Close(gone)
	_ = p.log.Close()
	if err := os.RemoveAll(p.node.journal); err != nil {
		p.node.world.Error(err)
	}
}

// stop ends the node's process in order. With all, it must store everything; else it may leave values in the journal.
func (n *node) stop(all bool) {
	p := n.running()
	if p == nil {
		return
	}
	n.become(nil)
	n.stall.end()
	synctest.Wait() // adds do not wait for the journal's disk any more
	const closing = 3 * time.Second
	n.world.model.endsTicks(n, closing)
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	var left *bucket.UndeliveredError
	if err := p.collector.Close(ctx); err != nil && (all || !errors.As(err, &left)) {
		n.world.Errorf("seed %d: %s: close: %v", n.world.seed, n.name, err)
	}
	p.end()
	<-p.ended
	if n.world.disk != nil {
		n.world.disk.landAll()
	}
	_ = p.store.Close(ctx)
	if stats := p.log.Stats(); all && stats.Live > 0 {
		n.world.Errorf("seed %d: %s: %d records are left in the journal", n.world.seed, n.name, stats.Live)
	}
	if err := p.log.Close(); err != nil {
		n.world.Errorf("seed %d: %s: close the journal: %v", n.world.seed, n.name, err)
	}
	n.world.gone = append(n.world.gone, p.stores)
	n.world.stats.restarts.Add(1)
}

// copyFiles copies a journal's directory.
func copyFiles(from, to string) error {
	files, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, os.MkdirAll(to, 0o700)); err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// stall is what is wrong with a journal's disk.
type stall struct {
	mu    sync.Mutex // guards what follows
	hangs chan struct{}
	fails error
}

func (s *stall) begin(hangs bool) {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if hangs {
		s.hangs = make(chan struct{})
	} else {
		s.fails = errors.New("no space left on device")
	}
}

// end lets appends go on.
func (s *stall) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs != nil {
		close(s.hangs)
	}
	s.hangs, s.fails = nil, nil
}

// wait returns the disk's error, after it has hung.
func (s *stall) wait(ctx context.Context) error {
	s.mu.Lock()
	hangs, err := s.hangs, s.fails
	s.mu.Unlock()
	if hangs == nil {
		return err
	}
	select {
	case <-hangs:
		return errors.New("input/output error")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stalling is a journal on a disk that fails and hangs.
type stalling struct {
	*journal.Journal
	stall *stall
}

func (j *stalling) Append(ctx context.Context, kind byte, meta, blob []byte) (uint64, error) {
	if err := j.stall.wait(ctx); err != nil {
		return 0, err
	}
	return j.Journal.Append(ctx, kind, meta, blob)
}

// Sync implements bucket.Syncer.
func (j *stalling) Sync(ctx context.Context) error {
	if err := j.stall.wait(ctx); err != nil {
		return err
	}
	return j.Journal.Sync(ctx)
}
