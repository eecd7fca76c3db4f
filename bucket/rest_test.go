package bucket_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/faulttest"
	"github.com/timeblob/timeblob/internal/alloctest"
)

// hollowJournal is a journal whose records all have the same blob. It takes no memory.
type hollowJournal struct {
	last atomic.Uint64
	blob []byte
}

func (j *hollowJournal) Append(context.Context, byte, []byte, []byte) (uint64, error) {
	return j.last.Add(1), nil
}
func (j *hollowJournal) Read(uint64) (byte, []byte, []byte, error) { return 1, nil, j.blob, nil }
func (j *hollowJournal) End(...uint64)                             {}

// TestRestingValuesAreSmall takes the store away and adds values that left the window
// long ago. It weighs the values that rest in the journal, and compares that with what
// is counted as pending.
func TestRestingValuesAreSmall(t *testing.T) {
	const values, each = 20_000, 700
	s := newStores(t)
	s.tier.Inject(faulttest.Fault{Op: faulttest.Put, Hang: true})
	blob := make([]byte, 4<<10)
	c := s.collector(t, &bucket.CollectorOptions[ids]{Journal: &hollowJournal{blob: blob}, Tick: 10 * time.Millisecond, Window: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	before, from := alloctest.Heap(), time.Now().Add(-time.Hour)
	for i := range values {
		encoded := bucket.Encoded[ids]{Blob: append([]byte(nil), blob...)}
		if err := c.AddBlob(t.Context(), "a", encoded, &bucket.AddOptions{At: from.Add(time.Duration(i) * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
	}
	for c.Pending() > values*each+100*int64(len(blob)) { // some are being tried
		time.Sleep(10 * time.Millisecond)
	}
	took := (alloctest.Heap() - before) / values
	t.Logf("%d bytes a value, of which %d are counted", took, c.Pending()/values)
	if counted := c.Pending() / values; took > counted || took < counted/2 {
		t.Errorf("a value that rests takes %d bytes, and %d are counted", took, counted)
	}
}
