package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
)

func isVersion(arg string) bool {
	return slices.Contains([]string{"version", "-version", "--version"}, arg)
}

// showVersion writes the version of the command and of Go.
func showVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "collector %s (%s, %s/%s)\n", Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// Version returns the version from the build information.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
