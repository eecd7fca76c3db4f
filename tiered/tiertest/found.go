package tiertest

import (
	"context"
	"fmt"

	"github.com/timeblob/timeblob/tiered"
)

// Found reads keys from a tier and returns the blobs that it found by their
// keys. The error is the tier's, or says that the answer has another length
// than keys; the map then holds what was found all the same.
func Found(ctx context.Context, tier tiered.Tier, keys []string) (map[string][]byte, error) {
	blobs, err := tier.Get(ctx, keys)
	if len(blobs) != len(keys) && (err == nil || blobs != nil) {
		return nil, fmt.Errorf("get of %d keys returned %d blobs, %v", len(keys), len(blobs), err)
	}
	found := make(map[string][]byte, len(keys))
	for i, blob := range blobs {
		if blob != nil {
			found[keys[i]] = blob
		}
	}
	return found, err
}
