package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

// TestTheLogOfTheEndIsShort tells of more values than can be read, among them one that was never tried.
func TestTheLogOfTheEndIsShort(t *testing.T) {
	t.Parallel()
	values := make([]bucket.Undelivered, 60_000)
	for i := range values {
		values[i] = bucket.Undelivered{Tenant: "a", Time: time.Unix(0, int64(i)), Err: errors.New("no bucket")}
	}
	values[1].Err = nil
	var stderr bytes.Buffer
	tellUndelivered(&cli.Process{Stderr: terminal.NewWriter(&stderr)}, values)
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if len(lines) != mostTold+1 || !strings.HasSuffix(lines[0], `tenant "a", instant 0: no bucket`) ||
		!strings.HasSuffix(lines[1], "its turn had not come") || !strings.HasSuffix(lines[mostTold], "59\u202f980 values more") {
		t.Errorf("said %q", lines)
	}
}
