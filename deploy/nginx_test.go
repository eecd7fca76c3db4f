package deploy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// upstream answers with its name, and with what of a request a proxy may spoil. It upgrades whatever wants that to
// a connection that repeats each line.
func upstream(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			echo(w, r, name)
			return
		}
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s host=%s connection=%q tenant=%s body=%d %v", name, r.Method, r.RequestURI, r.Host,
			r.Header.Get("Connection"), r.Header.Get("X-Scope-OrgID"), len(body), err)
	})
}

func echo(w http.ResponseWriter, r *http.Request, name string) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", r.Header.Get("Upgrade"))
	for {
		line, err := buffered.ReadString('\n')
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%s %s: %s", name, r.RequestURI, line)
	}
}

// front starts nginx on the snippet, before two fake upstreams, and returns its address.
func front(t *testing.T) string {
	t.Helper()
	snippet, err := os.ReadFile("nginx/scope.conf")
	if err != nil {
		t.Fatal(err)
	}
	site := string(snippet)
	for address, name := range map[string]string{"127.0.0.1:4040": "collector", "127.0.0.1:4042": "app"} {
		server := httptest.NewServer(upstream(name))
		t.Cleanup(server.Close)
		if strings.Count(site, address) != 1 {
			t.Fatalf("the snippet does not name %s once", address)
		}
		site = strings.Replace(site, address, server.Listener.Addr().String(), 1)
	}
	if strings.Count(site, "listen 4030;") != 1 {
		t.Fatal("the snippet does not listen on 4030")
	}
	return servertest.Nginx(t, func(port int) string {
		return strings.Replace(site, "listen 4030;", fmt.Sprintf("listen 127.0.0.1:%d;", port), 1)
	}).Addr()
}

func TestNginxRoutes(t *testing.T) {
	t.Parallel()
	address := front(t)
	for _, c := range []struct{ method, path, upstream string }{
		{"POST", "/api/report", "collector"},
		{"GET", "/api/report?timestamp=2026-01-02T03:04:05Z", "collector"},
		{"GET", "/api/probes?sparse=true", "collector"},
		{"GET", "/api/wait?timeout=30s", "collector"},
		{"GET", "/", "collector"},
		{"GET", "/metrics", "collector"},
		{"GET", "/api/controls", "collector"},
		{"GET", "/api/pipeline", "collector"},
		{"POST", "/api/control/4f2/a%3Bb%2F%3Cc%3E/docker_stop_container", "app"},
		{"GET", "/api/pipe/pipe-17/check", "app"},
		{"DELETE", "/api/pipe/pipe-17", "app"},
		{"POST", "/api/control", "app"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+address+c.path, strings.NewReader(strings.Repeat("x", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Scope-OrgID", "acme")
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		want := fmt.Sprintf(`%s %s %s host=%s connection="" tenant=acme body=1048576 <nil>`, c.upstream, c.method, c.path, address)
		if err != nil || string(got) != want {
			t.Errorf("got %s (%v), want %s", got, err, want)
		}
	}
}

func TestNginxUpgradesWebsockets(t *testing.T) {
	t.Parallel()
	address := front(t)
	for _, path := range []string{"/api/control/ws", "/api/pipe/pipe-17", "/api/pipe/pipe-17/probe"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", path, address)
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil || answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Upgrade") != "websocket" {
			t.Fatalf("%s: got %v, %v", path, answer, err)
		}
		for range 2 {
			fmt.Fprintln(conn, "click")
			if line, err := reader.ReadString('\n'); err != nil || line != "app "+path+": click\n" {
				t.Errorf("%s: got %q, %v", path, line, err)
			}
		}
	}
}

func TestNginxPassesOnARefusal(t *testing.T) {
	t.Parallel()
	address := front(t)
	answer, err := http.Post("http://"+address+"/api/report", "application/msgpack", strings.NewReader(strings.Repeat("x", 17<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("17 MiB: got %s, want 413", answer.Status)
	}
}
