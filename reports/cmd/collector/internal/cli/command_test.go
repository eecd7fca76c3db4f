package cli

import (
	"bytes"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

func TestErrorsAreSingleLines(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	p := &Process{Stderr: terminal.NewWriter(&said)}
	p.Warn("first\nsecond\n")
	p.Warn("%s", "collector: third")
	if got := said.String(); got != "collector: first; second\ncollector: third\n" {
		t.Errorf("wrote %q", got)
	}
}
