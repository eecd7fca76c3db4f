package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFaultsOfOnePlatform(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, text, platform, finding string }{
		{"sound", "p.go", "package p\n\nvar N = 1 << 30\n", "linux/386", ""},
		{"a constant", "p.go", "package p\n\nvar N int = 1 << 40\n", "linux/386", "overflows"},
		{"a constant elsewhere", "p.go", "package p\n\nvar N int = 1 << 40\n", "linux/arm64", ""},
		{"a constant in a test", "p_test.go", "package p\n\nvar N int = 1 << 40\n", "linux/386", "overflows"},
		{"a signal", "p.go", "package p\n\nimport \"syscall\"\n\nvar S = syscall.SIGSTOP\n", "windows/amd64", "undefined: syscall.SIGSTOP"},
		{"an atomic", "p.go", "package p\n\nimport \"sync/atomic\"\n\ntype t struct {\n\ta int32\n\tb int64\n}\n\n" +
			"var x t\n\nfunc F() { atomic.AddInt64(&x.b, 1) }\n", "linux/386", "non 64-bit aligned"},
		{"a shift", "p.go", "package p\n\nfunc F(a int) int { return a << 32 }\n", "linux/386", "too small for shift"},
		{"no platform", "p.go", "package p\n", "linux", "is not GOOS/GOARCH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range map[string]string{"go.mod": "module example.com/m\n\ngo 1.26\n", c.file: c.text} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := check(dir, c.platform)
			if err != nil {
				got = append(got, err.Error())
			}
			if c.finding == "" && len(got) > 0 || c.finding != "" && (len(got) != 1 || !strings.Contains(got[0], c.finding)) {
				t.Errorf("got %q, want %q", got, c.finding)
			}
		})
	}
}
