package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/timeblob/timeblob/blob"
	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
)

// drawer is the least that holds values: a map of blobs.
type drawer map[string][]byte

func (d drawer) Get(_ context.Context, refs []blob.Ref) ([]blob.Result[map[string]int], error) {
	results := make([]blob.Result[map[string]int], len(refs))
	var all error
	for i, ref := range refs {
		if encoded, ok := d[ref.Key]; ok {
			r := &results[i]
			if err := json.Unmarshal(encoded, &r.Value); err != nil {
				r.Err = fmt.Errorf("%s: %w", ref.Key, err)
			}
			r.Found, all = r.Err == nil, errors.Join(all, r.Err)
		}
	}
	return results, all
}

func (d drawer) Encode(v map[string]int) ([]byte, error) { return json.Marshal(v) }

func (d drawer) Put(_ context.Context, key string, blob []byte) error {
	d[key] = blob
	return nil
}

func ExampleNewQuantizer() {
	ctx := context.Background()
	idx, blobs := index.NewMemIndex(), make(drawer)

	// Writers store a blob first and then make it discoverable.
	noon := time.Date(2024, 5, 17, 12, 0, 0, 0, time.UTC)
	for i, v := range []string{`{"requests": 3}`, `{"requests": 4, "errors": 1}`, `{"requests": 5}`} {
		at := noon.Add(time.Duration(i) * 2 * time.Second).UnixNano()
		row := index.RowAt("acme", at)
		_ = blobs.Put(ctx, row.BlobKey(at), []byte(v))
		_ = idx.Put(ctx, row, index.Entry{Time: at, Key: row.BlobKey(at)})
	}

	sum := func(parts []map[string]int) (map[string]int, error) {
		total := make(map[string]int)
		for _, part := range parts {
			for name, n := range part {
				total[name] += n
			}
		}
		return total, nil
	}
	q, err := bucket.NewQuantizer(idx, blobs, sum, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, length := range []time.Duration{15 * time.Second, 4 * time.Second} {
		a, err := q.Range(ctx, "acme", noon, noon.Add(length), nil)
		fmt.Println(a.Value, a.Entries, err)
	}
	fmt.Println(q.Has(ctx, "acme", noon.Add(time.Minute), noon.Add(time.Hour)))
	// Output:
	// map[errors:1 requests:12] 3 <nil>
	// map[errors:1 requests:7] 2 <nil>
	// false <nil>
}
