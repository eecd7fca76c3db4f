// Package profiles stores pprof profiles by their labels and serves the merge of
// any range to go tool pprof. It shows how to keep label sets over RangeMany.
//
// Each set of labels is a series, and each series is a tenant: its id is a hash
// of the labels. A second store, the catalogue, holds which labels an id stands
// for. A catalogue is a value over time too: its merge is the union. So the
// catalogue of a range names the series that had profiles then, however many
// series ever were. A question selects series from the catalogue of its range and
// asks for their ids with RangeMany, which fetches the profiles of all in one go.
//
// A series enters the catalogue once an hour. A question therefore reads the
// catalogue from an hour before its range to an hour after it. Series that have no
// profile in the range itself cost a read of the index and change nothing.
package profiles

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/pprof/profile"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/embedded"
	"github.com/timeblob/timeblob/examples/types"
)

// Store keeps profiles in a directory. It is safe for any number of goroutines.
type Store struct {
	profiles *embedded.Store[*profile.Profile]
	series   *embedded.Store[catalogue]

	mu    sync.Mutex
	known map[string]int64 // guarded by mu: the hour in which a series entered the catalogue last
}

// catalogued is how often a series enters the catalogue.
const catalogued = time.Hour

// mostKnown is how many series are remembered. A series that is forgotten enters the
// catalogue once more, which changes nothing in it.
const mostKnown = 100_000

// Open opens a directory, which it creates when there is none. Call Close in the
// end.
func Open(dir string) (*Store, error) {
	series, err := embedded.Open(filepath.Join(dir, "series"), catalogueCodec{}, union, nil)
	if err != nil {
		return nil, err
	}
	profiles, err := embedded.Open(filepath.Join(dir, "profiles"), types.Profiles{}, profile.Merge, &embedded.Options[*profile.Profile]{
		Collector: bucket.CollectorOptions[*profile.Profile]{Clone: types.CloneProfile}})
	if err != nil {
		return nil, errors.Join(err, series.Close(context.Background()))
	}
	return &Store{profiles: profiles, series: series, known: map[string]int64{}}, nil
}

// Close stores what is pending and closes the directory.
func (s *Store) Close(ctx context.Context) error {
	return errors.Join(s.profiles.Close(ctx), s.series.Close(ctx))
}

// Add stores a profile that was taken at an instant; the zero time means now. The
// series is in the catalogue before the profile is in its series.
func (s *Store) Add(ctx context.Context, labels Labels, p *profile.Profile, at time.Time) error {
	if p == nil {
		return errors.New("no profile")
	}
	id, opts := labels.ID(), &bucket.AddOptions{At: at}
	if hour := hourOf(at); s.isNew(id, hour) {
		if err := s.series.Add(ctx, "", catalogue{id: labels}, opts); err != nil {
			return fmt.Errorf("add the series to the catalogue: %w", err)
		}
		s.noteKnown(id, hour)
	}
	return s.profiles.Add(ctx, id, p, opts)
}

func hourOf(at time.Time) int64 {
	if at.IsZero() {
		at = time.Now()
	}
	return at.Truncate(catalogued).Unix()
}

func (s *Store) isNew(id string, hour int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.known[id]
	return !ok || last != hour
}

func (s *Store) noteKnown(id string, hour int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= mostKnown {
		clear(s.known)
	}
	s.known[id] = hour
}

// Series returns the ids, sorted, of the series that have the labels of match and
// that may have profiles in [from, to).
func (s *Store) Series(ctx context.Context, match Labels, from, to time.Time) ([]string, error) {
	answer, err := s.series.Range(ctx, "", from.Add(-catalogued), to.Add(catalogued), nil)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	var ids []string
	for id, labels := range answer.Value {
		if labels.matches(match) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// Range returns the merge of the profiles with from ≤ instant < to of all series
// that have the labels of match.
func (s *Store) Range(ctx context.Context, match Labels, from, to time.Time) (bucket.Answer[*profile.Profile], error) {
	ids, err := s.Series(ctx, match, from, to)
	if err != nil {
		return bucket.Answer[*profile.Profile]{}, err
	}
	return s.profiles.RangeMany(ctx, ids, from, to, nil)
}
