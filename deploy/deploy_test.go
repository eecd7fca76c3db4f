// Package deploy_test checks the files in deploy with what runs without a container engine or a cluster: systemd's
// own tools, a real nginx, and the file tree of the image. The module in deploy/kubernetes checks the manifests.
package deploy_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/timeblob/timeblob/internal/servertest"
)

// scratch is for what all tests of this package share.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "timeblob-deploy-*"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// The binary of the image is built once, as the Dockerfile says, and used by all tests.
var builtImage = sync.OnceValues(func() (image, error) { return buildImage("Dockerfile", "..", scratch) })

func theImage(t *testing.T) image {
	t.Helper()
	i, err := builtImage()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// program returns the path of a tool of Debian's; where it is missing, the test is skipped or fails.
func program(t *testing.T, name string) string {
	t.Helper()
	return servertest.Program(t, name)
}

var (
	flagUsed     = regexp.MustCompile(`--[a-z][a-z0-9-]+`)
	variableUsed = regexp.MustCompile(`\bCOLLECTOR_[A-Z_]+\b`)
	notOurs      = regexp.MustCompile(`^--(chown|from|now)$`) // flags of the Dockerfile's instructions and of systemctl
)

// flagsIn returns the flags that a file gives to the collector, in arguments and in variables, comments included.
func flagsIn(text string) []string {
	var flags []string
	for _, flag := range flagUsed.FindAllString(text, -1) {
		if !notOurs.MatchString(flag) {
			flags = append(flags, flag)
		}
	}
	for _, variable := range variableUsed.FindAllString(text, -1) {
		name := strings.TrimPrefix(variable, "COLLECTOR_")
		flags = append(flags, "--"+strings.ToLower(strings.ReplaceAll(name, "_", "-")))
	}
	return flags
}

func TestFlagsExist(t *testing.T) {
	t.Parallel()
	help, err := exec.Command(filepath.Join(theImage(t).root, "collector"), "help", "serve").CombinedOutput()
	if err != nil {
		t.Fatalf("collector help serve: %v\n%s", err, help)
	}
	known := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^ +(--[a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		known[line[1]] = true
	}
	checked := 0
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, flag := range flagsIn(string(text)) {
			checked++
			if !known[flag] {
				t.Errorf("%s uses %s, which collector serve does not have", path, flag)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 5 {
		t.Errorf("only %d flags found", checked)
	}
}

func TestFlagsIn(t *testing.T) {
	t.Parallel()
	const text = "COPY --from=a /b\nserve --data-dir X --tick 3s\nCOLLECTOR_TENANT_HEADER: x\nXCOLLECTOR_A -d"
	if got := strings.Join(flagsIn(text), " "); got != "--data-dir --tick --tenant-header" {
		t.Errorf("got %s", got)
	}
}
