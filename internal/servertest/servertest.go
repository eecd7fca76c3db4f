// Package servertest starts the real servers that tests talk to: memcached, NATS, DynamoDB Local,
// dynalite, versitygw, Prometheus and nginx. Each call starts its own process on a free port of
// 127.0.0.1, returns once that process answers its protocol, and ends it when the test ends. When the
// test fails, its log holds the server's output.
//
// scripts/install-servers installs the programs. A missing program skips the test, or fails it when
// TIMEBLOB_REQUIRE_SERVERS is 1. make test and CI set it, so that no test is skipped there.
//
// On Linux a server never outlives its test binary. Elsewhere a server stays behind when the binary is
// killed.
package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// toolsDir is where pinned programs are: $TIMEBLOB_TOOLS, else .tools in the checkout that holds the
// working directory. It is empty outside of a checkout.
func toolsDir() string {
	if dir := os.Getenv("TIMEBLOB_TOOLS"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for dir != filepath.Dir(dir) {
		if exists(filepath.Join(dir, "scripts", "install-servers")) {
			return filepath.Join(dir, ".tools")
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// pinned returns the path of a file in the tools directory.
func pinned(elem ...string) (string, error) {
	path := filepath.Join(append([]string{toolsDir()}, elem...)...)
	if !exists(path) {
		return "", fmt.Errorf("%s is missing", filepath.Join(elem...))
	}
	return path, nil
}

// installed returns the path of one of apt's programs. Debian keeps some daemons in /usr/sbin, where
// an ordinary user's PATH does not look.
func installed(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", name))
	if err != nil {
		return "", fmt.Errorf("%s is missing", name)
	}
	return path, nil
}

// Program returns the path of one of apt's programs that is no server of this package, as promtool.
// Where it is missing the test is skipped or fails, as for a server.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := installed(name)
	if err != nil {
		unavailable(t, err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// unavailable ends a test whose server is not installed: as a failure where servers are required.
func unavailable(t testing.TB, err error) {
	t.Helper()
	const advice = "%v: run scripts/install-servers"
	if os.Getenv("TIMEBLOB_REQUIRE_SERVERS") == "1" {
		t.Fatalf(advice, err)
	}
	t.Skipf(advice, err)
}
