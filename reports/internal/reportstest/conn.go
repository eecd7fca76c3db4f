package reportstest

import (
	"io"
	"net"
	"testing"
	"time"
)

// patience is how long the helpers of this file wait before they fail a test.
const patience = 20 * time.Second

// Dial opens a connection that says text and then waits.
func Dial(t testing.TB, address, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// Rest returns what comes until the connection is closed.
func Rest(t testing.TB, c net.Conn) string {
	t.Helper()
	text, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q, %v", text, err)
	}
	return string(text)
}

// Within waits until a condition holds. Otherwise it fails the test with that text.
func Within(t testing.TB, otherwise string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}
