package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/bucket/internal/record"
	"github.com/timeblob/timeblob/index"
)

// mutant is a mistake that the fleet makes in a run. The simulation must find each.
type mutant string

const (
	lateJournal mutant = "a value is acknowledged before the journal has it"
	earlyEnd    mutant = "records are done before the value is in the index"
	forgetsIDs  mutant = "ids are forgotten at a restart"
	forgetsKeys mutant = "the keys that values were to get are forgotten at a restart"
	noSums      mutant = "blobs are not compared with their sums"
	emptySource mutant = "a collector that does not answer counts as one that holds nothing"
	staleIndex  mutant = "the index is read eventually consistently"
	earlyDone   mutant = "records are done before the store has synced"
	lostSync    mutant = "a sync that failed counts as one that succeeded"
)

var mutants = []mutant{lateJournal, earlyEnd, forgetsIDs, forgetsKeys, noSums, emptySource, staleIndex, earlyDone, lostSync}

// entries returns the entries that an index query answers.
func (m mutant) entries(entries []index.Entry) []index.Entry {
	switch m {
	case noSums:
		for i := range entries {
			entries[i].Sum, entries[i].Size = blob.Sum{}, 0
		}
	case staleIndex:
		last := time.Now().Add(-2 * time.Second).UnixNano()
		return slices.DeleteFunc(entries, func(e index.Entry) bool { return e.Time > last })
	}
	return entries
}

// held returns what a source answers.
func (m mutant) held(h bucket.Held[ids], err error) (bucket.Held[ids], error) {
	if m == emptySource && err != nil {
		return bucket.Held[ids]{Version: "none-0"}, nil
	}
	return h, err
}

// sync returns how a collector syncs its store.
func (m mutant) sync(sync func(context.Context) error) func(context.Context) error {
	switch m {
	case earlyDone:
		return nil
	case lostSync:
		return func(ctx context.Context) error {
			_ = sync(ctx)
			return nil
		}
	}
	return sync
}

// journal returns a collector's journal.
func (m mutant) journal(j *stalling) bucket.Journal { return &mistaken{j, m} }

// mistaken is a journal that makes a mistake.
type mistaken struct {
	*stalling
	mutant mutant
}

func (j *mistaken) Append(ctx context.Context, kind byte, meta, blob []byte) (uint64, error) {
	id, err := j.stalling.Append(ctx, kind, meta, blob)
	if j.mutant == earlyEnd && kind == record.KindSealed && err == nil {
		if s, err := record.DecodeSealed(meta); err == nil {
			j.End(append(s.Members, id)...)
		}
	}
	return id, err
}

func (j *mistaken) Replay(visit func(id uint64, kind byte, meta, blob []byte, done bool) error) error {
	return j.stalling.Replay(func(id uint64, kind byte, meta, blob []byte, done bool) error {
		if j.mutant == forgetsIDs && done || j.mutant == forgetsKeys && kind == record.KindSealed {
			return nil
		}
		return visit(id, kind, meta, blob, done)
	})
}

// look copies journals for a mutant whose kills find older ones.
func (m mutant) look(w *world) {
	if m != lateJournal {
		return
	}
	synctest.Wait()
	for _, n := range w.nodes {
		old := oldJournal(n)
		if err := os.RemoveAll(old); err != nil {
			w.Error(err)
		}
		if err := copyFiles(n.journal, old); err != nil {
			w.Error(err)
		}
	}
}

func oldJournal(n *node) string { return filepath.Join(n.world.dir, fmt.Sprint(n.name, "-old")) }

// copy makes the directory that a process finds after a kill.
func (m mutant) copy(n *node, to string) {
	from := n.journal
	if m == lateJournal {
		from = oldJournal(n)
	}
	if err := copyFiles(from, to); err != nil {
		n.world.Fatal(err)
	}
}
