package tiered_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/internal/alloctest"
	"github.com/timeblob/timeblob/tiered"
)

// squeezed is a codec whose blobs are a small fraction of their values.
type squeezed struct{}

func (squeezed) Encode(v string) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, v)
	err := w.Close()
	return b.Bytes(), err
}

func (squeezed) Decode(blob []byte) (string, error) {
	r, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		return "", err
	}
	v, err := io.ReadAll(r)
	return string(v), err
}

// TestMemoryHoldsWhatItIsToldOfCompressedValues fills memory with values whose
// blobs are a hundredth of them, without a Size, and compares with the heap.
func TestMemoryHoldsWhatItIsToldOfCompressedValues(t *testing.T) {
	const limit = 16 << 20
	mem := new(tiered.MemTier)
	store, err := tiered.New[string](squeezed{}, mem, &tiered.Options[string]{Memory: limit})
	if err != nil {
		t.Fatal(err)
	}
	encoded, _ := store.Encode(strings.Repeat("0123456789", 10_000))
	for i := range 1000 { // 100 MB of values
		if err := mem.Put(t.Context(), fmt.Sprint(i), encoded); err != nil {
			t.Fatal(err)
		}
	}
	before := alloctest.Heap()
	for i := range 1000 {
		if _, _, err := store.One(t.Context(), blob.Ref{Key: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if took := alloctest.Heap() - before; took < limit/2 || took > limit*4/3 {
		t.Errorf("memory of %d bytes takes %d bytes of the heap", limit, took)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
