package backup

import (
	"context"
	"strings"
	"testing"
)

// A collector that ends while it writes a copy leaves a part of it, perhaps.
func TestStopWhileCopying(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begun := make(chan struct{})
	stop, err := Serve(dir, func(ctx context.Context, _ string) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-begun; stop() }()
	err = Ask(t.Context(), dir, "/copy")
	if err == nil || !strings.Contains(err.Error(), `stopped before the copy was whole: remove "/copy" if it is there, and repeat`) {
		t.Errorf("said %v", err)
	}
}
