package rollup

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/timeblob/timeblob/bucket/internal/levels"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/gate"
)

// Merged is the merge of a span.
type Merged struct {
	Blob  []byte
	Count int    // entries in it
	Print string // of those entries
	Bytes int64  // of the blobs that it was merged from
}

// Merger knows values.
type Merger interface {
	// Merge merges the roll-ups and the entries of consecutive parts, and
	// encodes the merge. The blob is nil when there are no entries.
	Merge(ctx context.Context, tenant string, parts []levels.Part) (Merged, error)
	// Put stores a roll-up.
	Put(ctx context.Context, key string, blob []byte) error
	// Remove deletes blobs. A key without a blob is no error.
	Remove(ctx context.Context, keys []string) error
	// Lasting reports whether merging the same parts again must fail too.
	Lasting(err error) bool
	// PrintOf returns the print of entries as Merge would.
	PrintOf(entries []index.Entry) string
	// Same reports whether the values of two blobs mean the same.
	Same(a, b []byte) (bool, error)
}

// Options of a Builder. All must be set but Tenants.
type Options struct {
	Protocol *levels.Protocol
	Index    index.Index
	Merger   Merger
	Settings levels.Settings // to be published
	Owned    bool            // no other process writes the index
	All      bool            // build for every tenant, not only for those asked about
	// Tenants, with All, lists tenants to build for, beside the tenants that Asked
	// tells; nil: there are none.
	Tenants func(ctx context.Context) iter.Seq2[string, error]
	Cores   int // builds at a time
	Codec   int // of the roll-ups
	MaxBlob int64
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

const (
	// every is how often a builder looks for work.
	every = 5 * time.Second
	// interest is how long a tenant is built for after somebody asked about it.
	interest = 24 * time.Hour
	// maxClaim is the longest time that a build may take.
	maxClaim = 5 * time.Minute
	// leastClaim is the shortest time that a claim lasts.
	leastClaim = 10 * time.Second
	// maxQuestion is longer than the longest question: roll-ups that no seal
	// names any more stay so long.
	maxQuestion = 2 * time.Minute
)

// newCrew returns the crew that runs builds. It stops waiting for a build that takes
// longer than its claim lasts: a codec or a merge may never return.
func newCrew(o *Options) *gate.Crew { return gate.NewCrew(o.Cores, lasts(o.Settings)+leastClaim) }

// lasts returns how long the claim of a build lasts.
func lasts(s levels.Settings) time.Duration { return min(maxClaim, max(s.Lateness/2, leastClaim)) }

// errHangs is why a build is not waited for any more.
var errHangs = errors.New("a codec or a merge has not returned")
