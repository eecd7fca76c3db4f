package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const unit = "systemd/collector.service"

// installedUnit is the unit with the built binary in place of the installed one, which systemd looks for.
func installedUnit(t *testing.T, change func(string) string) string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(unit))
	changed := strings.ReplaceAll(change(string(text)), "ExecStart=/usr/local/bin/collector",
		"ExecStart="+filepath.Join(theImage(t).root, "collector"))
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// complaint is a fault for which some versions of systemd-analyze verify exit with 0.
var complaint = regexp.MustCompile(`Unknown key`)

func TestUnitIsValidAndHardened(t *testing.T) {
	t.Parallel()
	analyze := program(t, "systemd-analyze")
	unchanged := func(text string) string { return text }
	for _, c := range []struct {
		name   string
		change func(string) string
		args   []string
		passes bool
	}{
		{"valid", unchanged, []string{"verify"}, true},
		{"misspelt", func(s string) string { return strings.Replace(s, "DynamicUser", "DynamicUsr", 1) }, []string{"verify"}, false},
		{"without a binary", func(s string) string {
			return strings.Replace(s, "ExecStart=/usr/local/bin/collector", "ExecStart=/usr/local/bin/none", 1)
		}, []string{"verify"}, false},
		{"hardened", unchanged, []string{"security", "--offline=true", "--threshold=15"}, true}, // 1.5 of 10
		{"as root", func(s string) string { return strings.Replace(s, "DynamicUser=yes", "", 1) }, []string{"security", "--offline=true", "--threshold=15"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(analyze, append(c.args, installedUnit(t, c.change))...).CombinedOutput()
			if passed := err == nil && !complaint.Match(out); passed != c.passes {
				t.Errorf("passed is %v, want %v (%v):\n%s", passed, c.passes, err, out)
			}
		})
	}
}

// What systemd does not compare: the time to stop, and the memory that Go may use of the service's.
func TestUnitLimits(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] += value
		}
	}
	stop, err := time.ParseDuration(settings["TimeoutStopSec"])
	if err != nil || stop < 35*time.Second {
		t.Errorf("TimeoutStopSec is %v (%v), want more than --shutdown-timeout", stop, err)
	}
	gib, err := strconv.Atoi(strings.TrimSuffix(settings["MemoryMax"], "G"))
	if err != nil {
		t.Fatal(err)
	}
	_, limit, _ := strings.Cut(settings["Environment"], "GOMEMLIMIT=")
	mib, err := strconv.Atoi(strings.TrimSuffix(limit, "MiB"))
	if err != nil {
		t.Fatal(err)
	}
	if percent := 100 * mib / (gib << 10); percent < 75 || percent > 80 {
		t.Errorf("GOMEMLIMIT is %d %% of MemoryMax, want 80", percent)
	}
}
