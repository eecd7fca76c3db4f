package main

import (
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// Errors about a flag say what the value must be, and write the name as help does.
func TestFlagsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`invalid value "soon" for flag --tick: must be a duration, as 90s or 1h30m`: {"serve", "--tick", "soon"},
		`invalid value "3" for flag --tick: must be a duration`:                     {"serve", "-tick=3"},
		`invalid value "x" for flag --max-connections: must be a whole number`:      {"serve", "--max-connections", "x"},
		`invalid value "x" for flag --tenant-rate: must be a number`:                {"serve", "--tenant-rate", "x"},
		`invalid value "a\" for flag -b" for flag --role: must be all, collector`:   {"serve", "--role", `a" for flag -b`},
		`invalid boolean value "x" for --create: must be true or false`:             {"serve", "--create=x"},
		`flag provided but not defined: --no-such-flag (`:                           {"serve", "--no-such-flag"},
		`flag needs an argument: --tick (`:                                          {"serve", "--tick"},
		`flag needs an argument: -o (`:                                              {"merge", "-o"},
		`--max-topology-nodes must not be 0: a negative number is for no limit`:     {"serve", "--max-topology-nodes", "0"},
		`--max-body must not be 0`:                                                  {"serve", "--max-body", "0"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := collect(t, args...)
			if r.code != 2 || !strings.HasPrefix(r.stderr, "collector: "+want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
		})
	}
	r := call{args: []string{"serve"}, env: map[string]string{"COLLECTOR_TICK": "soon"}}.run(t.Context())
	if want := `COLLECTOR_TICK="soon": must be a duration`; r.code != 2 || !strings.Contains(r.stderr, want) {
		t.Errorf("exit %d: %s, want %q", r.code, r.stderr, want)
	}
}

// A listener that cannot be opened names its flag, and what to give it.
func TestListenersSayWhatToDo(t *testing.T) {
	t.Parallel()
	taken := serveWithin(t, embedded(t)...)
	r := collect(t, append([]string{"serve", "--listen", strings.TrimPrefix(taken.url, "http://")}, embedded(t)...)...)
	if want := "address already in use (give --listen another port, or stop what listens there)\n"; r.code != 1 ||
		!strings.HasSuffix(r.stderr, want) {
		t.Errorf("exit %d: %s, want %q", r.code, r.stderr, want)
	}
}

// An address of another machine is refused with what to give instead.
func TestListenElsewhere(t *testing.T) {
	t.Parallel()
	r := collect(t, append([]string{"serve", "--listen", "203.0.113.7:4040"}, embedded(t)...)...)
	if want := "(give --listen an address of this machine, or :PORT for all of them)\n"; r.code != 1 || !strings.HasSuffix(r.stderr, want) {
		t.Errorf("exit %d: %s, want %q", r.code, r.stderr, want)
	}
}

// A merge that cannot be written names the file that was asked for.
func TestMergeNamesTheFileItCannotWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, out := write(t, dir+"/1.json", sample("one", 1)), dir+"/none/out.json"
	r := collect(t, "merge", "-o", out, in)
	if want := "collector: create " + out + ": no such file or directory\n"; r.code != 1 || r.stderr != want {
		t.Errorf("exit %d: %s, want %q", r.code, r.stderr, want)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		if got, want := must(t, arg), "collector "+cli.Version()+" ("; !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s says %q, want it to begin with %q", arg, got, want)
		}
	}
}
