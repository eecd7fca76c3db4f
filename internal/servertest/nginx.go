package servertest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Nginx starts an nginx whose http block is the configuration that site returns for the port to listen on.
func Nginx(t testing.TB, site func(port int) string) *Process {
	t.Helper()
	return open(t, nginx(t.TempDir(), site))
}

func nginx(dir string, site func(port int) string) program {
	command := func(port int) ([]string, error) {
		path, err := installed("nginx")
		if err != nil {
			return nil, err
		}
		config := filepath.Join(dir, "nginx.conf")
		return []string{path, "-p", dir, "-c", config}, os.WriteFile(config, []byte(nginxConfig(dir, site(port))), 0o600)
	}
	return program{name: "nginx", command: command, answers: accepts}
}

// nginxConfig keeps nginx in the foreground, in one process, and its files in dir.
func nginxConfig(dir, site string) string {
	var temporary strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	return "daemon off; master_process off; error_log stderr; pid " + filepath.Join(dir, "pid") + ";\n" +
		"events {}\nhttp {\naccess_log off;\n" + temporary.String() + site + "\n}\n"
}

// accepts is content with a connection.
func accepts(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
