package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
)

var flips = flag.Int("flips", 0, "at how many places TestEveryFileDamaged flips a byte of each file; with 0 it tries one damage of nine")

// harmed is one way in which a file of a directory is damaged.
type harmed struct {
	file, how string
	do        func(content []byte) []byte // nil: the file is removed
}

func (h harmed) String() string { return h.file + " " + h.how }

// harms returns the damages of a file.
func harms(file string, size int) (all []harmed) {
	all = []harmed{{file, "missing", nil}}
	if size == 0 {
		return all
	}
	all = append(all, harmed{file, "empty", func([]byte) []byte { return []byte{} }},
		harmed{file, "cut in the middle", func(b []byte) []byte { return b[:len(b)/2] }},
		harmed{file, "without its last byte", func(b []byte) []byte { return b[:len(b)-1] }})
	places := max(1, *flips)
	for i := range places {
		at := (2*i + 1) * size / (2 * places)
		all = append(all, harmed{file, fmt.Sprint("flipped at ", at), func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b }})
	}
	return all
}

// filledStore is an embedded store that was filled by collectors, and what it holds.
type filledStore struct {
	dir          string
	held, waited map[string]bool // hosts in the store; those in the store and in the journal
	killed       bool            // values wait in the journal
}

// filledBy imports reports, has a collector take more, and ends it in order or by a kill.
func filledBy(t *testing.T, kill bool, args ...string) *filledStore {
	t.Helper()
	f := &filledStore{dir: filepath.Join(t.TempDir(), "data"), killed: kill}
	var files []string
	for i := range 12 {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%d.msgpack.gz", 1_700_000_000_000_000_000+int64(i)*600e9))
		write(t, name, oneHost(fmt.Sprintf("host-%06d", 900_000+i)))
		files = append(files, name)
	}
	must(t, append([]string{"import", "--data", f.dir}, files...)...)
	s := serveAsProcess(t, append([]string{"--data", f.dir, "--tick", "100ms", "--window", "1s"}, args...)...)
	for i := range 12 {
		if status, answer := postHost(t, s.url, fmt.Sprintf("host-%06d", i)); status != http.StatusOK {
			t.Fatal(status, answer)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if kill {
		s.kill()
	} else if code := s.stop(); code != 0 {
		t.Fatal(s.said())
	}
	f.held, _ = f.ask(t, f.dir)
	f.waited = maps.Clone(f.held)
	for i := range 12 {
		f.waited[fmt.Sprintf("host-%06d", i)] = true
	}
	if len(f.held) < 12 || !kill && len(f.held) != 24 {
		t.Fatalf("%d hosts: %v", len(f.held), f.held)
	}
	return f
}

func postHost(t *testing.T, url, host string) (status int, answer string) {
	t.Helper()
	req := must1(http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/report", bytes.NewReader(must1(stores.Blobs.Encode(oneHost(host))))))
	req.Header.Set("Content-Type", "application/msgpack")
	req.Header.Set("Content-Encoding", "gzip")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, string(must1(io.ReadAll(resp.Body)))
}

var aHost = regexp.MustCompile(`"(host-\d{6})"`)

func hostsIn(text string) map[string]bool {
	found := make(map[string]bool)
	for _, match := range aHost.FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	return found
}

const everything = "2023-11-14T00:00:00Z"

// ask asks a directory about all of its time.
func (f *filledStore) ask(t *testing.T, dir string) (map[string]bool, result) {
	t.Helper()
	r := collect(t, "query", "--json", "--data", dir, "--start", everything, "--end", "+1h")
	return hostsIn(r.stdout), r
}

// TestEveryFileDamaged damages each file of an embedded store in turn: missing, empty, cut, a byte flipped. Each command then
// answers with everything, or says that something is wrong; check tells of damage that costs an answer, repair saves the rest, and
// nothing panics. By default it tries a few; -flips 100 tries all, and flips bytes at a hundred places of each file.
func TestEveryFileDamaged(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*filledStore{
		"stopped":  filledBy(t, false),
		"with log": filledBy(t, false, "--journal-sync", "off"),
		"killed":   filledBy(t, true),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, h := range f.harms(t) {
				if *flips == 0 && i%9 != len(name)%9 {
					continue
				}
				t.Run(h.String(), func(t *testing.T) { f.try(t, h) })
			}
		})
	}
}

// copy copies the files of the directory; its socket stays.
func (f *filledStore) copy(t *testing.T, to string) {
	t.Helper()
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		at := filepath.Join(to, strings.TrimPrefix(path, f.dir))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(at, 0o700)
		case d.Type().IsRegular():
			return os.WriteFile(at, must1(os.ReadFile(path)), 0o600)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// harms returns the damages of all files.
func (f *filledStore) harms(t *testing.T) (all []harmed) {
	t.Helper()
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all = append(all, harms(must1(filepath.Rel(f.dir, path)), int(info.Size()))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// try runs the commands on a damaged copy.
func (f *filledStore) try(t *testing.T, h harmed) {
	scratch := t.TempDir()
	dir := filepath.Join(scratch, "data")
	f.copy(t, dir)
	file := filepath.Join(dir, h.file)
	if h.do == nil {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	} else if err := os.WriteFile(file, h.do(must1(os.ReadFile(file))), 0o600); err != nil {
		t.Fatal(err)
	}
	checked := collect(t, "check", dir)
	found, asked := f.ask(t, dir)
	f.judge(t, "query", asked, found, f.held)
	if checked.code == 0 && asked.code != 0 {
		t.Errorf("check finds nothing, and a query fails: %s", asked.stderr)
	}
	copied := filepath.Join(scratch, "copied")
	r := collect(t, "copy", "--from", dir, "--to", copied)
	found, asked = f.ask(t, copied)
	f.judge(t, "copy", r, found, f.held)
	if checked.code == 0 && r.code != 0 {
		t.Errorf("check finds nothing, and a copy fails: %s", r.stderr)
	}
	saved := filepath.Join(scratch, "saved")
	r = collect(t, "repair", "--data", dir, "--to", saved)
	found, asked = f.ask(t, saved)
	f.judge(t, "repair", r, found, f.held)
	if asked.code != 0 {
		t.Errorf("what was saved cannot be read: %s, repair: %s", asked.stderr, r.stderr)
	}
	f.serve(t, dir, h)
}

// judge compares an answer: a command that succeeds has everything, one that fails says why, and none invents hosts.
func (f *filledStore) judge(t *testing.T, what string, r result, found, want map[string]bool) {
	t.Helper()
	if r.code == 0 && !maps.Equal(found, want) {
		t.Errorf("%s succeeds with %d of %d hosts: %s%.300s", what, len(found), len(want), r.stderr, r.stdout)
	}
	if r.code != 0 && strings.TrimSpace(r.stderr) == "" {
		t.Errorf("%s fails and does not say why", what)
	}
	if strings.Contains(r.stderr, "panic") {
		t.Errorf("%s: %s", what, r.stderr)
	}
	for host := range found {
		if !f.waited[host] {
			t.Errorf("%s: %s was never stored", what, host)
		}
	}
}

// serve runs a collector on the damaged directory, asks it, posts and stops it.
func (f *filledStore) serve(t *testing.T, dir string, h harmed) {
	t.Helper()
	s, r := tryServe(t, "--data", dir, "--tick", "100ms", "--window", "1s")
	if s == nil {
		if r.code == 0 || strings.TrimSpace(r.stderr) == "" {
			t.Errorf("serve ends with exit code %d and says %q", r.code, r.stderr)
		}
		return
	}
	status, answer := fetch(t, s.url+"/api/report?start="+everything+"&end=2023-11-16T00:00:00Z")
	found := hostsIn(answer)
	if status == http.StatusOK {
		status, answer = fetch(t, s.url+"/api/report?start="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
		maps.Copy(found, hostsIn(answer))
	}
	_, ready := fetch(t, s.url+"/readyz")
	if status == http.StatusOK && !maps.Equal(found, f.waited) && !strings.Contains(ready, "journal: is damaged") {
		t.Errorf("serve answers with %d of %d hosts, status 200: %s, ready: %s", len(found), len(f.waited), s.said(), ready)
	}
	if strings.HasPrefix(h.file, "journal") && len(found) < len(f.held) {
		t.Errorf("a damaged journal costs what was stored: %d of %d hosts, status %d: %.200s", len(found), len(f.held), status, answer)
	}
	status, answer = postHost(t, s.url, "host-777777")
	if status != http.StatusOK && status != http.StatusServiceUnavailable {
		t.Errorf("a post: status %d: %s", status, answer)
	}
	if code := s.stop(); code != 0 && strings.TrimSpace(s.said()) == "" {
		t.Errorf("serve ends with exit code %d and says nothing", code)
	}
	if strings.Contains(s.said(), "panic") {
		t.Error(s.said())
	}
}

// tryServe runs a collector inside the test's process, or returns how its start failed.
func tryServe(t *testing.T, args ...string) (*served, result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	stderr, code := &buffer{}, make(chan int, 1)
	go func() {
		args := append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)
		code <- collector.Run(ctx, args, strings.NewReader(""), w, stderr, func(string) (string, bool) { return "", false })
		w.Close()
	}()
	line := make([]byte, 200)
	n, _ := stdout.Read(line)
	url, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "listening on ")
	if !ok {
		cancel()
		_ = stdout.Close()
		return nil, result{<-code, string(line[:n]), stderr.String()}
	}
	go io.Copy(io.Discard, stdout) //nolint:errcheck // it ends with the collector
	return &served{url: url, stop: func() int { cancel(); return <-code }, said: stderr.String}, result{}
}
