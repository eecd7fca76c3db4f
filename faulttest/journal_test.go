package faulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// memRecords is a journal in memory.
type memRecords struct {
	blobs [][]byte // by number less 1
	done  map[uint64]bool
}

func (m *memRecords) Append(ctx context.Context, _ byte, _, blob []byte) (uint64, error) {
	m.blobs = append(m.blobs, bytes.Clone(blob))
	return uint64(len(m.blobs)), ctx.Err()
}

func (m *memRecords) Read(id uint64) (byte, []byte, []byte, error) {
	if id == 0 || id > uint64(len(m.blobs)) {
		return 0, nil, nil, errSample
	}
	return 1, nil, m.blobs[id-1], nil
}

func (m *memRecords) End(ids ...uint64) {
	for _, id := range ids {
		m.done[id] = true
	}
}

func (m *memRecords) Replay(visit func(id uint64, kind byte, meta, blob []byte, done bool) error) error {
	for i, blob := range m.blobs {
		if err := visit(uint64(i+1), 1, nil, blob, m.done[uint64(i+1)]); err != nil {
			return err
		}
	}
	return nil
}

// TestJournalFaults appends, reads, ends and replays a record with each fault.
func TestJournalFaults(t *testing.T) {
	t.Parallel()
	none := []string{}
	for name, c := range map[string]struct {
		fault  Fault
		append error
		read   string // what Read finds, or "" for an error
		replay []string
		healed []string // what the journal holds after Heal
	}{
		"pass":       {Fault{Pass: true}, nil, "abcd", []string{"abcd done"}, []string{"abcd done"}},
		"fail":       {Fault{Op: Put, Err: errSample}, errSample, "", none, none},
		"delay":      {Fault{Op: Put, Delay: time.Hour}, context.DeadlineExceeded, "", none, none},
		"hang":       {Fault{Op: Put, Hang: true}, context.DeadlineExceeded, "", none, none},
		"late":       {Fault{Op: Put, Applied: true, Hang: true}, context.DeadlineExceeded, "", []string{"abcd"}, []string{"abcd"}},
		"applied":    {Fault{Op: Put, Applied: true}, ErrInjected, "", []string{"abcd"}, []string{"abcd"}},
		"lie":        {Fault{Op: Put, Lie: true}, nil, "", none, none},
		"behind":     {Fault{Op: Put, Behind: 9}, nil, "", none, []string{"abcd"}},
		"corrupt":    {Fault{Corrupt: true}, nil, "\x9e\x9d\x9c\x9b", []string{"\x9e\x9d\x9c\x9b done"}, []string{"abcd done"}},
		"truncate":   {Fault{Truncate: true}, nil, "ab", []string{"ab done"}, []string{"abcd done"}},
		"reads":      {Fault{Op: Get, Err: errSample}, nil, "", []string{"abcd done"}, []string{"abcd done"}},
		"no end":     {Fault{Op: Delete, Err: errSample}, nil, "abcd", []string{"abcd"}, []string{"abcd"}},
		"end later":  {Fault{Op: Delete, Behind: 9}, nil, "abcd", []string{"abcd"}, []string{"abcd done"}},
		"no replay":  {Fault{Op: Query, Err: errSample}, nil, "abcd", none, []string{"abcd done"}},
		"stray":      {Fault{Op: Query, Stray: true}, nil, "abcd", []string{"abcd done", "a record that nobody wrote"}, []string{"abcd done"}},
		"other kind": {Fault{Match: func(c Call) bool { return c.Kind == 2 }}, nil, "abcd", []string{"abcd done"}, []string{"abcd done"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mem := &memRecords{done: make(map[uint64]bool)}
				j := NewJournal(mem, 1)
				j.Inject(c.fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				id, err := j.Append(ctx, 1, nil, []byte("abcd"))
				if !errors.Is(err, c.append) || (err == nil) != (id > 0) {
					t.Errorf("Append returned %d and %v, want %v", id, err, c.append)
				}
				if _, _, blob, err := j.Read(id); string(blob) != c.read || (err == nil) != (c.read != "") {
					t.Errorf("Read returned %q and %v, want %q", blob, err, c.read)
				}
				j.End(id)
				if got := replayed(j); !slices.Equal(got, c.replay) {
					t.Errorf("Replay visited %q, want %q", got, c.replay)
				}
				j.Heal()
				if got := replayed(mem); !slices.Equal(got, c.healed) {
					t.Errorf("the journal holds %q, want %q", got, c.healed)
				}
			})
		})
	}
}

func replayed(from replayer) []string {
	all := []string{}
	_ = from.Replay(func(_ uint64, _ byte, _, blob []byte, done bool) error {
		text := string(blob)
		if done {
			text = fmt.Sprint(text, " done")
		}
		all = append(all, text)
		return nil
	})
	return all
}

// TestPartialReplay visits half of the records before the error.
func TestPartialReplay(t *testing.T) {
	t.Parallel()
	j := NewJournal(&memRecords{blobs: [][]byte{{1}, {2}, {3}}}, 1)
	j.Inject(Fault{Op: Query, Partial: true, Err: errSample})
	n := 0
	err := j.Replay(func(uint64, byte, []byte, []byte, bool) error { n++; return nil })
	if n != 2 || !errors.Is(err, errSample) {
		t.Errorf("%d visited, error %v", n, err)
	}
	bare := NewJournal(struct{ Records }{&memRecords{}}, 1)
	if err := bare.Replay(nil); err != nil {
		t.Errorf("a journal without Replay: %v", err)
	}
}
