package timeblob_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/pprof/profile"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/tiered"
)

// pprofCodec stores profiles in pprof's own format, gzip'd.
type pprofCodec struct{}

func (pprofCodec) Encode(p *profile.Profile) ([]byte, error) {
	var blob bytes.Buffer
	err := p.Write(&blob)
	return blob.Bytes(), err
}

func (pprofCodec) Decode(blob []byte) (*profile.Profile, error) { return profile.ParseData(blob) }

// Example_profiles keeps CPU profiles in a directory, and asks for the
// profile of the last hour.
func Example_profiles() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "profiles")
	check(err)
	defer os.RemoveAll(dir)
	db, err := local.Open(dir, nil)
	check(err)
	blobs, err := tiered.New(pprofCodec{}, db.Blobs(), nil)
	check(err)
	profiles, err := bucket.NewCollector(db.Index(), blobs, profile.Merge,
		&bucket.CollectorOptions[*profile.Profile]{Committer: db})
	check(err)
	for range 3 {
		check(profiles.Add(ctx, "checkout", cpuProfile("pay", 10*time.Millisecond), nil))
	}
	check(profiles.Flush(ctx))

	now := time.Now()
	hour, err := profiles.Range(ctx, "checkout", now.Add(-time.Hour), now, nil)
	check(err)
	fmt.Println(hour.Value.Sample[0].Location[0].Line[0].Function.Name, time.Duration(hour.Value.Sample[0].Value[0]))
	check(profiles.Close(ctx))
	check(blobs.Close(ctx))
	check(db.Close())
	// Output: pay 30ms
}

// cpuProfile makes a profile of one sample, as runtime/pprof takes them.
func cpuProfile(function string, took time.Duration) *profile.Profile {
	f := &profile.Function{ID: 1, Name: function}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f, Line: 1}}}
	cpu := &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}
	return &profile.Profile{
		SampleType: []*profile.ValueType{cpu}, PeriodType: cpu, Period: int64(took),
		Sample:   []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{int64(took)}}},
		Location: []*profile.Location{l}, Function: []*profile.Function{f},
	}
}
