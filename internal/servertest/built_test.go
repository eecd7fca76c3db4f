package servertest

import (
	"os"
	"os/exec"
	"testing"
)

// TestBuiltBuildsOnce builds a program of this module and runs it. A package that does not exist is an error, and a
// package that failed is built again.
func TestBuiltBuildsOnce(t *testing.T) {
	t.Parallel()
	var b programs
	const pkg = "github.com/timeblob/timeblob/bench/plot"
	if _, err := b.get(pkg + "/nothing"); err == nil {
		t.Error("a package that does not exist was built")
	}
	first, err := b.get(pkg)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.get(pkg); err != nil || again != first {
		t.Errorf("built again: %s, then %s, %v", first, again, err)
	}
	if err := exec.Command(first, "-h").Run(); err != nil {
		t.Error(err)
	}
	if err := b.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("the program is left: %v", err)
	}
}
