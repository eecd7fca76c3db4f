package tiered_test

import (
	"errors"
	"testing"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/tiered"
)

// TestDelete checks that a blob that is deleted is in no tier and not in memory.
func TestDelete(t *testing.T) {
	t.Parallel()
	authority, near := new(tiered.MemTier), &tiered.MemTier{Overwrite: true}
	store, err := tiered.New(textCodec{}, authority, &tiered.Options[string]{Caches: []tiered.Cache{{Name: "near", Tier: near}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if err := store.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if _, found, err := store.One(t.Context(), blob.Ref{Key: key}); !found || err != nil {
			t.Fatalf("%q: %v, %v", key, found, err)
		}
	}
	if err := store.Delete(t.Context(), []string{"a", "a", "never put"}); err != nil {
		t.Fatal(err)
	}
	if _, found, err := store.One(t.Context(), blob.Ref{Key: "a"}); found || err != nil {
		t.Errorf("after Delete: %v, %v", found, err)
	}
	if _, found, err := store.One(t.Context(), blob.Ref{Key: "b"}); !found || err != nil {
		t.Errorf("another blob: %v, %v", found, err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if authority.Len() != 1 {
		t.Errorf("the authority holds %d blobs", authority.Len())
	}
}

// TestDeleteUnsupported checks that an authority that cannot delete or list says so.
func TestDeleteUnsupported(t *testing.T) {
	t.Parallel()
	store, err := tiered.New(textCodec{}, struct{ tiered.Tier }{new(tiered.MemTier)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), []string{"a"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Delete: %v", err)
	}
	for _, err := range store.List(t.Context(), "", 0, 1) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("List: %v", err)
		}
	}
}

// textCodec is a codec of strings.
type textCodec struct{}

func (textCodec) Encode(s string) ([]byte, error)    { return []byte(s), nil }
func (textCodec) Decode(blob []byte) (string, error) { return string(blob), nil }
