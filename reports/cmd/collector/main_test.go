package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// asCommand in the environment turns the test binary into the command, so that tests can start it as a
// process.
const asCommand = "RUN_AS_COLLECTOR"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	// the HTTP server keeps a closed connection for half a second
	goleak.VerifyTestMain(servertest.Main(m), goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// result is the output and exit code of the command.
type result struct {
	code           int
	stdout, stderr string
}

// call runs the command inside the test's process.
type call struct {
	args  []string
	env   map[string]string
	stdin io.Reader
}

func (c call) run(ctx context.Context) result {
	var stdout, stderr bytes.Buffer
	if c.stdin == nil {
		c.stdin = strings.NewReader("")
	}
	env := func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
	code := collector.Run(ctx, c.args, c.stdin, &stdout, &stderr, env)
	return result{code, stdout.String(), stderr.String()}
}

// collect runs the command with arguments and no environment.
func collect(t *testing.T, args ...string) result {
	t.Helper()
	return call{args: args}.run(t.Context())
}

// must runs the command, which must succeed, and returns its output.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := collect(t, args...)
	if r.code != 0 {
		t.Fatalf("collector %s: exit %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew), got:\n%s\nwant:\n%s", name, got, want)
	}
}

// usage is the expected output for arguments that do not run.
var usage = map[string]struct {
	args   []string
	env    map[string]string
	code   int
	stdout string // a part of it
	stderr string // a part of it
}{
	"nothing":                    {code: 2, stderr: "Usage:"},
	"help":                       {args: []string{"help"}, stdout: "collector merge"},
	"-h":                         {args: []string{"-h"}, stdout: "collector merge"},
	"help of a subcommand":       {args: []string{"help", "push"}, stdout: "--pace"},
	"-h of a subcommand":         {args: []string{"push", "-h"}, stdout: "--pace"},
	"--help among flags":         {args: []string{"push", "x", "--to", "y", "--help"}, stdout: "--pace"},
	"help of nothing known":      {args: []string{"help", "x"}, code: 2, stderr: `no subcommand "x" ("collector help" tells more)`},
	"no such subcommand":         {args: []string{"x"}, code: 2, stderr: `no subcommand "x"`},
	"no such flag":               {args: []string{"merge", "--x"}, code: 2, stderr: `-x ("collector help merge" tells more)`},
	"no files":                   {args: []string{"merge"}, code: 2, stderr: "at least one file"},
	"no file after --":           {args: []string{"inspect", "--"}, code: 2, stderr: "at least one file"},
	"serve with arguments":       {args: []string{"serve", "x"}, code: 2, stderr: `"x" is no flag`},
	"query with arguments":       {args: []string{"query", "--data", "d", "--at", "0", "x"}, code: 2, stderr: `"x" is no flag`},
	"query of nothing":           {args: []string{"query"}, code: 2, stderr: "--data or --from"},
	"query without a time":       {args: []string{"query", "--data", "d"}, code: 2, stderr: "--at, or --start and --end"},
	"query of half a range":      {args: []string{"query", "--data", "d", "--start", "1"}, code: 2, stderr: "--at, or --start and --end"},
	"query of two times":         {args: []string{"query", "--data", "d", "--start", "1", "--at", "2"}, code: 2, stderr: "cannot be used together"},
	"query of two sources":       {args: []string{"query", "--data", "d", "--from", "u", "--at", "2"}, code: 2, stderr: "--data and --from cannot"},
	"query backwards":            {args: []string{"query", "--data", "d", "--start", "2", "--end", "1"}, code: 2, stderr: "before --start"},
	"query of no window":         {args: []string{"query", "--data", "d", "--at", "2", "--window", "0s"}, code: 2, stderr: "above 0"},
	"query before all time":      {args: []string{"query", "--data", "d", "--at", "-9223372036", "--window", "1h"}, code: 2, stderr: "1678"},
	"query after all time":       {args: []string{"query", "--data", "d", "--start", "0", "--end", "+2562000h"}, code: 2, stderr: "2262"},
	"query at no time":           {args: []string{"query", "--data", "d", "--at", "noon"}, code: 2, stderr: "RFC 3339"},
	"query of a bad tenant":      {args: []string{"query", "--data", "d", "--at", "1", "--tenant", "a b"}, code: 2, stderr: "tenant id"},
	"query of a bad URL":         {args: []string{"query", "--from", "ftp://x", "--at", "1"}, code: 2, stderr: "http://127.0.0.1:4040"},
	"query of no directory":      {args: []string{"query", "--data", "no/such", "--at", "1"}, code: 1, stderr: "no such file"},
	"push to nowhere":            {args: []string{"push", "x"}, code: 2, stderr: "--to"},
	"push without files":         {args: []string{"push", "--to", "127.0.0.1:1"}, code: 2, stderr: "at least one file"},
	"push at no pace":            {args: []string{"push", "--to", "x", "--pace=0", "--pace=slow", "x"}, code: 2, stderr: "factor"},
	"push none at a time":        {args: []string{"push", "--to", "x", "--parallel", "0", "x"}, code: 2, stderr: "at least 1"},
	"import without files":       {args: []string{"import"}, code: 2, stderr: "at least one file"},
	"merge into an unknown form": {args: []string{"merge", "-o", "x.txt", "x"}, code: 2, stderr: ".msgpack.gz"},
	"serve with no log level":    {args: []string{"serve", "--log-level", "loud"}, code: 2, stderr: "--log-level"},
	"serve with no log format":   {args: []string{"serve", "--log-format", "xml"}, code: 2, stderr: "--log-format"},
	"serve with no memory":       {args: []string{"serve", "--memory", "0"}, code: 2, stderr: "--memory"},
	"serve with no window":       {args: []string{"serve", "--window", "0s"}, code: 2, stderr: "--window 0s: must be above 0"},
	"serve to forget at once":    {args: []string{"serve", "--retention", "1m"}, code: 2, stderr: "at least 1h"},
	"serve with half a size":     {args: []string{"serve", "--max-body", "1XB"}, code: 2, stderr: "number of bytes"},
	"a bad variable": {args: []string{"merge", "x"}, env: map[string]string{"COLLECTOR_JSON": "maybe"},
		code: 2, stderr: `COLLECTOR_JSON="maybe"`},
	"two variables that exclude each other": {args: []string{"query", "--at", "1"},
		env:  map[string]string{"COLLECTOR_DATA": "d", "COLLECTOR_FROM": "u"},
		code: 2, stderr: "COLLECTOR_DATA and COLLECTOR_FROM cannot"},
	"a flag beats a variable that it excludes": {args: []string{"query", "--at", "1", "--data", "no/such"},
		env: map[string]string{"COLLECTOR_FROM": "ftp://x"}, code: 1, stderr: "no such file"},
	"an empty variable is not set": {args: []string{"query", "--at", "1", "--data", "no/such"},
		env: map[string]string{"COLLECTOR_WINDOW": ""}, code: 1, stderr: "no such file"},
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, c := range usage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := call{args: c.args, env: c.env}.run(t.Context())
			if r.code != c.code || !strings.Contains(r.stdout, c.stdout) || !strings.Contains(r.stderr, c.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %d, %q, %q", r.code, r.stdout, r.stderr, c.code, c.stdout, c.stderr)
			}
			if c.code != 0 && r.stdout != "" || c.code == 0 && r.stderr != "" {
				t.Errorf("exit %d: wrote to the other stream, too: stdout %q, stderr %q", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func TestHelpFits(t *testing.T) {
	t.Parallel()
	for _, c := range append(collector.Commands, nil) {
		args := []string{"help"}
		if c != nil {
			args = append(args, c.Name)
		}
		text := must(t, args...)
		for line := range strings.SplitSeq(text, "\n") {
			if n := len([]rune(line)); n > terminal.Columns {
				t.Errorf("help %v: a line of %d columns: %s", args[1:], n, line)
			}
		}
		if strings.Contains(text, "\t") {
			t.Errorf("help %v holds tabs", args[1:])
		}
	}
}

// Every flag has a help text, and a variable can set it.
func TestEveryFlagHasAVariable(t *testing.T) {
	t.Parallel()
	for _, c := range collector.Commands {
		text := must(t, "help", c.Name)
		f := cli.NewFlags(c.Name)
		c.Define(f)
		env := map[string]string{}
		f.VisitAll(func(fl *flag.Flag) {
			env[cli.Variable(fl.Name)] = "\x00 is nothing"
			if fl.Usage == "" || !strings.Contains(text, "-"+fl.Name) {
				t.Errorf("%s: flag %s is not in the help", c.Name, fl.Name)
			}
		})
		for _, name := range slices.Sorted(maps.Keys(env)) {
			f := cli.NewFlags(c.Name)
			c.Define(f)
			_, err := f.ParseArgs(nil, func(n string) (string, bool) { return env[n], n == name })
			var set []string
			f.VisitAll(func(fl *flag.Flag) {
				if f.Chosen(fl.Name) {
					set = append(set, fl.Name)
				}
			})
			if len(set) != 1 {
				t.Errorf("%s: %s set %v (%v)", c.Name, name, set, err)
			}
		}
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"default":                  {nil, nil, "15s"},
		"environment":              {nil, map[string]string{"COLLECTOR_WINDOW": "1m"}, "1m0s"},
		"argument":                 {[]string{"--window", "2m"}, map[string]string{"COLLECTOR_WINDOW": "1m"}, "2m0s"},
		"argument after arguments": {[]string{"x", "--window=2m", "y"}, nil, "2m0s"},
		"after --":                 {[]string{"x", "--", "--window=2m"}, nil, "15s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := cli.NewFlags("query")
			queryCommand.Define(f)
			_, err := f.ParseArgs(append([]string{"--data", "d", "--at", "1"}, c.args...), func(n string) (string, bool) { v, ok := c.env[n]; return v, ok })
			if got := f.Lookup("window").Value.String(); err != nil || got != c.want {
				t.Errorf("--window is %s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestArgumentsAmongFlags(t *testing.T) {
	t.Parallel()
	f := cli.NewFlags("merge")
	mergeCommand.Define(f)
	args := strings.Fields("a --json b -o x.json - -- --c -- d")
	got, err := f.ParseArgs(args, func(string) (string, bool) { return "", false })
	if want := strings.Fields("a b - --c -- d"); err != nil || !slices.Equal(got, want) {
		t.Errorf("arguments %q, %v, want %q", got, err, want)
	}
}
