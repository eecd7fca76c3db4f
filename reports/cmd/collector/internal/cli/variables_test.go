package cli

import (
	"strings"
	"testing"
)

// A variable that no flag reads is named. Kubernetes' variables, and variables of other subcommands, are not.
func TestWarnOfVariables(t *testing.T) {
	t.Parallel()
	g := &Program{Commands: []*Command{
		{Name: "one", Define: func(f *Flags) Action { f.String("tick", "", ""); return nil }},
		{Name: "two", Define: func(f *Flags) Action { f.String("other-flag", "", ""); return nil }},
	}}
	var said strings.Builder
	g.WarnOfVariables(&said, []string{"COLLECTOR_TIK=secret", "COLLECTOR_TICK=3s", "COLLECTOR_OTHER_FLAG=", "collector_tick=1s", "PATH=/bin",
		"COLLECTOR_PORT=tcp://10.0.0.1:4040", "COLLECTOR_PORT_4040_TCP_ADDR=10.0.0.1", "COLLECTOR_SERVICE_HOST=10.0.0.1",
		"COLLECTOR_HEADLESS_SERVICE_PORT_HTTP=4040", "COLLECTOR_="})
	want := "collector: warning: COLLECTOR_ is ignored: there is no such flag\n" +
		"collector: warning: COLLECTOR_TIK is ignored: there is no such flag\n"
	if said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}
