package tiered_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/tiered"
)

// hanging is a codec whose Decode of "hang" returns when it is released.
type hanging struct {
	sealed
	released chan struct{}
}

func (h hanging) Decode(blob []byte) (string, error) {
	if string(blob) == "hang" {
		<-h.released
	}
	return string(blob), nil
}

// TestDecodingsThatNeverReturn fills the decoder's places with decodings that hang. Other
// blobs are decoded after ten seconds, and from then on at once.
func TestDecodingsThatNeverReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tier, codec := new(tiered.MemTier), hanging{released: make(chan struct{})}
		s, err := tiered.New(codec, tier, &tiered.Options[string]{Decoders: 2, Memory: -1})
		if err != nil {
			t.Fatal(err)
		}
		var hung sync.WaitGroup
		for key, value := range map[string]string{"a": "hang", "b": "hang", "c": "fine"} {
			if err := tier.Put(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			if value == "hang" {
				hung.Go(func() { _, _, _ = s.One(t.Context(), blob.Ref{Key: key}) })
			}
		}
		synctest.Wait()
		for _, want := range []time.Duration{10 * time.Second, 0, 0} {
			begun := time.Now()
			v, found, err := s.One(t.Context(), blob.Ref{Key: "c"})
			if took := time.Since(begun); v != "fine" || !found || err != nil || took != want {
				t.Errorf("got %q, %v, %v after %v, want it after %v", v, found, err, took, want)
			}
		}
		close(codec.released)
		hung.Wait()
	})
}
