package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// TestThirtyHours asks for a range of 30 hours with values in every row, and values at and just outside of
// its ends.
func TestThirtyHours(t *testing.T) {
	t.Parallel()
	within, outside := t.TempDir(), t.TempDir()
	begin := time.Unix(1_700_000_001, 7)
	end := begin.Add(30 * time.Hour)
	file := func(dir string, at time.Time) {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", at.UnixNano())), sample(fmt.Sprint("host-", at.UnixNano()), 1))
	}
	for at := begin; at.Before(end); at = at.Add(20 * time.Minute) {
		file(within, at)
	}
	file(within, end.Add(-1))
	file(outside, begin.Add(-1))
	file(outside, end)
	want := []byte(must(t, "merge", "--json", within))
	for name, dynamo := range map[string]func(testing.TB) string{
		"DynamoDB Local": servertest.SharedDynamoDBLocal, "dynalite": servertest.SharedDynalite,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := onServers(dynamo)(t)
			must(t, append([]string{"import", within, outside}, store...)...)
			span := []string{"query", "--json", "--start", begin.Format(time.RFC3339Nano), "--end", end.Format(time.RFC3339Nano)}
			goldentest.Equal(t, []byte(must(t, append(span, store...)...)), want, anyID)
			s := serveWithin(t, store...)
			goldentest.Equal(t, []byte(must(t, append(span, "--from", s.url)...)), want, anyID)
			if code := s.stop(); code != 0 {
				t.Errorf("exit %d: %s", code, s.said())
			}
		})
	}
}
