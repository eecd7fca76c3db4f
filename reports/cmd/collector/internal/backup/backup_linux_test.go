package backup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The path of a directory may be longer than the address of a socket.
func TestLongPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 150))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var asked string
	stop, err := Serve(dir, func(_ context.Context, to string) error { asked = to; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := Ask(t.Context(), dir, "/copy"); err != nil || asked != "/copy" {
		t.Errorf("asked for %q: %v", asked, err)
	}
	stop()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := Ask(t.Context(), dir, "/copy"); err != ErrNobody {
		t.Errorf("nobody serves: %v", err)
	}
}
