package servertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Prometheus starts a Prometheus server, empty, that scrapes the targets, each a host:port, every second
// under the job "collector", and returns its URL.
func Prometheus(t testing.TB, targets ...string) (url string, p *Process) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"+
		"  - job_name: collector\n    static_configs: [{targets: ['%s']}]\n", strings.Join(targets, "', '"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p = open(t, prometheus(config, filepath.Join(dir, "data")))
	return "http://" + p.Addr(), p
}

func prometheus(config, data string) program {
	command := func(port int) ([]string, error) {
		path, err := installed("prometheus")
		return []string{path, "--config.file=" + config, "--storage.tsdb.path=" + data,
			fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port)}, err
	}
	return program{name: "prometheus", command: command, answers: isReady}
}

// isReady asks Prometheus whether it answers questions yet.
func isReady(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/-/ready", nil)
	if err != nil {
		return err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("prometheus is not ready: %s", answer.Status)
	}
	return nil
}
