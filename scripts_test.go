package timeblob_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// flakyModule has one package for each way in which a run can end.
var flakyModule = map[string]string{
	"go.mod":            "module example.com/m\n\ngo 1.26\n",
	"steady/a_test.go":  "package steady\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n",
	"broken/a_test.go":  "package broken\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Fail() }\n",
	"flaky/a_test.go":   flakyTest,
	"inner/go.mod":      "module example.com/m/inner\n\ngo 1.26\n",
	"inner/f/a_test.go": strings.Replace(flakyTest, "package flaky", "package f", 1),
}

// flakyTest fails in its first run only.
const flakyTest = `package flaky

import (
	"os"
	"testing"
)

func TestA(t *testing.T) {
	if err := os.Mkdir("seen", 0o700); err == nil {
		t.Fatal("the first run")
	}
}
`

func TestScriptTestCountsFlakyPackages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		without []string
		passes  bool
		lines   []string
	}{
		{"two flaky", []string{"broken"}, true, []string{"FLAKY example.com/m/inner/f", "FLAKY example.com/m/flaky", "flaky packages: 2"}},
		{"none", []string{"broken", "flaky", "inner"}, true, []string{"flaky packages: 0"}},
		{"flaky beside broken", []string{"inner"}, false, []string{"FLAKY example.com/m/flaky", "flaky packages: 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := checkout(t, c.without...)
			command := exec.Command(filepath.Join(dir, "scripts", "test"), "-race=false", "-vet=off")
			command.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
			out, err := command.CombinedOutput()
			if passed := err == nil; passed != c.passes {
				t.Errorf("passed is %v, want %v", passed, c.passes)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); strings.HasPrefix(strings.ToLower(line), "flaky ") {
					got = append(got, line)
				}
			}
			if strings.Join(got, "\n") != strings.Join(c.lines, "\n") {
				t.Errorf("got %q, want %q; the run said:\n%s", got, c.lines, out)
			}
		})
	}
}

// checkout makes a directory of scripts and flakyModule, without the packages and modules named.
func checkout(t *testing.T, without ...string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	for _, name := range []string{"scripts/test", "scripts/modules"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	for name, text := range flakyModule {
		files[name] = text
	}
	for name, text := range files {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range without {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLongestPackagesExist checks the names that scripts/test starts with: it passes over one that does not exist.
func TestLongestPackagesExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("scripts/test")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\nreadonly longest=(")
	list, _, _ = strings.Cut(list, ")")
	if len(strings.Fields(list)) == 0 {
		t.Fatal("scripts/test names no package")
	}
	for _, name := range strings.Fields(list) {
		if tests, err := filepath.Glob(filepath.Join(name, "*_test.go")); err != nil || len(tests) == 0 {
			t.Errorf("%s has no tests, %v", name, err)
		}
	}
}
