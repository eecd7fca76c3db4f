package wire_test

import (
	"testing"

	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TestDecodingAllocatesLittle bounds how many allocations decoding captured reports takes. The
// bounds leave room for pools that the garbage collector empties. Not parallel: it counts all
// goroutines' allocations.
func TestDecodingAllocatesLittle(t *testing.T) {
	for pattern, most := range map[string]float64{"k8s-node/*.gz": 600, "hosts/db-1/*.gz": 120} {
		files := goldentest.Files(t, pattern)
		var blobs [][]byte
		for _, file := range files {
			blobs = append(blobs, goldentest.Read(t, file))
		}
		allocs := testing.AllocsPerRun(5, func() {
			for _, blob := range blobs {
				if _, err := (wire.Codec{}).Decode(blob); err != nil {
					t.Fatal(err)
				}
			}
		}) / float64(len(blobs))
		if allocs > most {
			t.Errorf("%s: %.0f allocations a report, at most %.0f are allowed", pattern, allocs, most)
		}
	}
}
