package guard

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestRecover(t *testing.T) {
	t.Parallel()
	call := func(f func()) (err error) {
		defer Recover("merge", &err)
		f()
		return nil
	}
	if err := call(func() {}); err != nil {
		t.Errorf("a call that returns: %v", err)
	}
	err := call(func() { panic("no") })
	p, ok := errors.AsType[*PanicError](err)
	if !ok || err.Error() != "merge panicked: no" || !strings.Contains(string(p.Stack), "guard_test") {
		t.Errorf("a call that panics: %v", err)
	}
	if err := call(func() { panic(io.EOF) }); !errors.Is(err, io.EOF) {
		t.Errorf("a call that panics with an error: %v", err)
	}
}
