package servertest

import (
	"testing"
	"time"
)

// Patience is how long tests wait for what takes no time on an idle machine.
const Patience = 30 * time.Second

// Eventually waits until something holds, and ends the test when it does not within Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Outage is something that befalls a server, and its end.
type Outage struct{ Begin, End func(*Process) }

// Outages returns, by name, the ways in which a server is away: its connections are refused, or it
// takes them and never answers.
func Outages() map[string]Outage {
	return map[string]Outage{
		"killed":  {(*Process).Kill, (*Process).Restart},
		"stopped": {(*Process).Stop, (*Process).Cont},
	}
}
