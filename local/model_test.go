package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/tiered/tiertest"
)

// model is a store and plain maps of what it must hold.
type model struct {
	disk    *vfs.MemFS
	db      *DB
	now     time.Time
	entries map[index.Row]map[int64]string
	blobs   map[string][]byte
}

const keep = 6 * time.Hour

// TestModel does random operations on a store and on maps and compares.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			disk: vfs.NewCrashableMem(), now: time.Unix(-3600, 0),
			entries: make(map[index.Row]map[int64]string), blobs: make(map[string][]byte),
		}
		m.open(t)
		defer func() { m.db.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"commit":  m.commit,
			"put":     m.put,
			"blob":    m.putBlob,
			"query":   m.query,
			"get":     m.get,
			"history": m.history,
			"time":    m.pass,
			"reopen":  m.reopen,
			"crash":   m.crash,
			"flush":   m.flush,
		})
	})
}

func (m *model) open(t *rapid.T) {
	db, err := Open("data", &Options{
		FS: m.disk, Retention: keep, MemtableBytes: 1 << 20,
		Now: func() time.Time { return m.now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.db = db
	m.expire()
}

// expire removes what the sweep at opening does.
func (m *model) expire() {
	hour := hourOf(m.now.Add(-keep))
	maps.DeleteFunc(m.entries, func(row index.Row, _ map[int64]string) bool { return row.Hour < hour })
	maps.DeleteFunc(m.blobs, func(key string, _ []byte) bool {
		t, err := index.ParseBlobKey(key)
		return err == nil && index.RowAt("", t).Hour < hour-1
	})
}

// draw returns an instant near now, on a coarse grid so that some are taken.
func (m *model) draw(t *rapid.T) (index.Row, index.Entry, []byte) {
	tenant := rapid.SampledFrom([]string{"", "a", "a-", "b"}).Draw(t, "tenant")
	at := m.now.UnixNano() + rapid.Int64Range(-20, 4).Draw(t, "half hours")*hour/2 + rapid.Int64Range(-1, 1).Draw(t, "ns")
	row := index.RowAt(tenant, at)
	key := row.BlobKey(at)
	if rapid.IntRange(0, 4).Draw(t, "shape") == 0 {
		key = fmt.Sprintf("other %d", rapid.IntRange(0, 5).Draw(t, "n"))
	}
	size := rapid.SampledFrom([]int{0, 1, 500, 5000, 50_000, 150_000}).Draw(t, "size")
	return row, index.Entry{Time: at, Key: key}, noise(tenant, at, size)
}

func (m *model) commit(t *rapid.T) {
	row, e, blob := m.draw(t)
	_, entry := m.entries[row][e.Time]
	_, key := m.blobs[e.Key]
	m.expect(t, m.db.Commit(context.Background(), row, e, blob), entry || key)
	if !entry && !key {
		m.index(row, e)
		m.blobs[e.Key] = blob
	}
}

func (m *model) put(t *rapid.T) {
	row, e, _ := m.draw(t)
	_, taken := m.entries[row][e.Time]
	m.expect(t, m.db.Index().Put(context.Background(), row, e), taken)
	if !taken {
		m.index(row, e)
	}
}

func (m *model) index(row index.Row, e index.Entry) {
	if m.entries[row] == nil {
		m.entries[row] = make(map[int64]string)
	}
	m.entries[row][e.Time] = e.Key
}

func (m *model) putBlob(t *rapid.T) {
	_, e, blob := m.draw(t)
	_, taken := m.blobs[e.Key]
	m.expect(t, m.db.Blobs().Put(context.Background(), e.Key, blob), taken)
	if !taken {
		m.blobs[e.Key] = blob
	}
}

func (m *model) expect(t *rapid.T, err error, taken bool) {
	if taken && !errors.Is(err, index.ErrExists) || !taken && err != nil {
		t.Fatalf("got %v, taken %v", err, taken)
	}
}

// within returns what the model has of a tenant in [from, to), in order.
func (m *model) within(tenant string, from, to int64) (found []index.Entry) {
	for row, entries := range m.entries {
		for at, key := range entries {
			if row.Tenant == tenant && from <= at && at < to {
				found = append(found, index.Entry{Time: at, Key: key})
			}
		}
	}
	slices.SortFunc(found, func(a, b index.Entry) int { return int(a.Time - b.Time) })
	return found
}

func (m *model) query(t *rapid.T) {
	row, a, _ := m.draw(t)
	_, b, _ := m.draw(t)
	got, err := m.db.Index().Query(context.Background(), row, a.Time, b.Time)
	want := m.within(row.Tenant, max(a.Time, row.Start()), min(b.Time, row.End()))
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("row %v from %d to %d: got %v, %v, want %v", row, a.Time, b.Time, got, err, want)
	}
}

func (m *model) history(t *rapid.T) {
	row, a, _ := m.draw(t)
	_, b, _ := m.draw(t)
	var got []index.Entry
	for e, err := range m.db.Entries(context.Background(), row.Tenant, a.Time, b.Time) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if want := m.within(row.Tenant, a.Time, b.Time); !slices.Equal(got, want) {
		t.Fatalf("tenant %q from %d to %d: got %v, want %v", row.Tenant, a.Time, b.Time, got, want)
	}
	tenants := make(map[string]bool)
	for row := range m.entries {
		tenants[row.Tenant] = true
	}
	if got, err := m.db.Tenants(context.Background()); err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(tenants))) {
		t.Fatalf("tenants: got %q, %v, want %v", got, err, tenants)
	}
}

func (m *model) get(t *rapid.T) {
	want := make(map[string][]byte)
	var keys []string
	for range rapid.IntRange(0, 5).Draw(t, "keys") {
		_, e, _ := m.draw(t)
		keys = append(keys, e.Key)
		if blob, ok := m.blobs[e.Key]; ok {
			want[e.Key] = blob
		}
	}
	got, err := tiertest.Found(context.Background(), m.db.Blobs(), keys)
	if err != nil || !maps.EqualFunc(got, want, bytes.Equal) {
		t.Fatalf("get %q: got %d blobs, %v, want %d", keys, len(got), err, len(want))
	}
}

// pass lets up to two hours pass and sweeps as the goroutine would.
func (m *model) pass(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.Int64Range(0, 2*hour).Draw(t, "ns")))
	if err := m.db.sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.expire()
}

func (m *model) reopen(t *rapid.T) {
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// crash leaves only what was synced, which is all that was acknowledged.
func (m *model) crash(t *rapid.T) {
	after := m.disk.CrashClone(vfs.CrashCloneCfg{})
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	m.disk = after
	m.open(t)
}

func (m *model) flush(t *rapid.T) {
	if err := m.db.engine.pebble.Flush(); err != nil {
		t.Fatal(err)
	}
}
