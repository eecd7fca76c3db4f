package deploy_test

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"debug/elf"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// image is what the last stage of a Dockerfile makes: a file tree, and how a container of it starts.
type image struct {
	root            string         // the directory that holds the tree
	owners          map[string]int // the numeric owner of each path that --chown names
	user            string
	entrypoint, cmd []string
	volumes         []string
	ports           []string
}

// builder runs the instructions of a Dockerfile of two stages without a container engine: the first stage on this
// machine, with its absolute paths below a directory, the last one as copies into an empty tree.
type builder struct {
	context string // the directory that COPY copies from
	ignored func(name string) bool
	root    string // where the paths of the first stage are
	workdir string // in the first stage
	image   image
}

func buildImage(dockerfile, context, scratch string) (image, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return image{}, err
	}
	stages, err := parseDockerfile(string(text))
	if err != nil {
		return image{}, err
	}
	if len(stages) != 2 || stages[1].base != "scratch" || !strings.HasPrefix(stages[0].base, "golang:") {
		return image{}, fmt.Errorf("want a stage from golang and one from scratch, got %v", stages)
	}
	ignore, err := os.ReadFile(dockerfile + ".dockerignore")
	if err != nil {
		return image{}, err
	}
	b := builder{context: context, ignored: ignoredNames(string(ignore)), root: filepath.Join(scratch, "build"), workdir: "/"}
	b.image.root, b.image.owners = filepath.Join(scratch, "image"), map[string]int{}
	for i, s := range stages {
		for _, step := range s.steps {
			if err := b.run(step, i == 0); err != nil {
				return image{}, fmt.Errorf("%s %s: %w", step.verb, step.text, err)
			}
		}
	}
	return b.image, nil
}

// ignoredNames reads a .dockerignore of names and patterns in the top folder.
func ignoredNames(text string) func(name string) bool {
	return func(name string) bool {
		for line := range strings.Lines(text) {
			if matched, _ := path.Match(strings.TrimSpace(line), name); matched && !strings.HasPrefix(line, "#") {
				return true
			}
		}
		return false
	}
}

func (b *builder) run(step instruction, first bool) error {
	switch {
	case step.verb == "WORKDIR" && first:
		b.workdir = step.args[0]
		return os.MkdirAll(filepath.Join(b.root, b.workdir), 0o755)
	case step.verb == "COPY" && first:
		return b.copyContext(step.args)
	case step.verb == "RUN" && first:
		return b.shell(step.text)
	case step.verb == "COPY" && step.flags["--from"] == "build":
		return b.copyToImage(step)
	case first || step.verb == "RUN" || step.verb == "COPY":
		return fmt.Errorf("not supported in this stage")
	}
	b.configure(step)
	return nil
}

func (b *builder) configure(step instruction) {
	switch step.verb {
	case "USER":
		b.image.user = step.args[0]
	case "VOLUME":
		b.image.volumes = append(b.image.volumes, step.args...)
	case "EXPOSE":
		b.image.ports = append(b.image.ports, step.args...)
	case "ENTRYPOINT":
		b.image.entrypoint = step.args
	case "CMD":
		b.image.cmd = step.args
	}
}

// copyContext copies files of the context, or all of it, into the working directory.
func (b *builder) copyContext(args []string) error {
	to := filepath.Join(b.root, b.workdir)
	names := args[:len(args)-1]
	if names[0] == "." {
		entries, err := os.ReadDir(b.context)
		if err != nil {
			return err
		}
		names = nil
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	}
	for _, name := range names {
		if b.ignored(name) {
			continue
		}
		if err := command("cp", "-RL", filepath.Join(b.context, name), to); err != nil {
			return err
		}
	}
	return nil
}

// absolute finds the absolute paths that a stage makes, and not the system's.
var absolute = regexp.MustCompile(`(^|[ =])(/out)\b`)

// profile is the flag for the CPU profile by which the image's command is compiled.
var profile = regexp.MustCompile(`-pgo=(\S+)`)

// withoutProfile leaves the profile out, because it compiles every dependency again, which takes a minute and a half.
// The profile must be in the context.
func (b *builder) withoutProfile(text string) (string, error) {
	found := profile.FindStringSubmatch(text)
	if found == nil {
		return text, nil
	}
	_, err := os.Stat(filepath.Join(b.root, b.workdir, found[1]))
	return strings.Replace(text, found[0], "-pgo=off", 1), err
}

func (b *builder) shell(text string) error {
	text, err := b.withoutProfile(text)
	if err != nil {
		return err
	}
	text = absolute.ReplaceAllString(text, "${1}"+b.root+"${2}")
	shell := exec.Command("/bin/sh", "-euc", text)
	shell.Dir = filepath.Join(b.root, b.workdir)
	shell.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	if out, err := shell.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (b *builder) copyToImage(step instruction) error {
	from, to := step.args[0], step.args[1]
	if owner, _, ok := strings.Cut(step.flags["--chown"], ":"); ok {
		id, err := strconv.Atoi(owner)
		if err != nil {
			return err
		}
		b.image.owners[to] = id
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(b.image.root, to)), 0o755); err != nil {
		return err
	}
	return command("cp", "-R", filepath.Join(b.root, from), filepath.Join(b.image.root, to))
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
	}
	return nil
}

func TestImageHoldsOnlyWhatTheCollectorNeeds(t *testing.T) {
	t.Parallel()
	i := theImage(t)
	var files []string
	err := filepath.WalkDir(i.root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && path != i.root {
			files = append(files, strings.TrimPrefix(path, i.root))
		}
		return err
	})
	const want = "/collector /data /etc /etc/ssl /etc/ssl/certs /etc/ssl/certs/ca-certificates.crt"
	if got := strings.Join(files, " "); err != nil || got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	pem, err := os.ReadFile(filepath.Join(i.root, "/etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		t.Errorf("no certificates in the file of %d bytes: %v", len(pem), err)
	}
}

func TestImageBinaryIsStatic(t *testing.T) {
	t.Parallel()
	binary, err := elf.Open(filepath.Join(theImage(t).root, theImage(t).entrypoint[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, program := range binary.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %v segment: it needs a dynamic linker, which the image does not have", program.Type)
		}
	}
}

func TestImageStartsWithoutPrivileges(t *testing.T) {
	t.Parallel()
	i := theImage(t)
	user, _, _ := strings.Cut(i.user, ":")
	id, err := strconv.Atoi(user)
	if err != nil || id == 0 {
		t.Errorf("the user is %q: Kubernetes can tell only of numbers that they are not root", i.user)
	}
	if len(i.volumes) != 1 || i.owners[i.volumes[0]] != id {
		t.Errorf("volumes %q, owners %v: the user %d must own its volume", i.volumes, i.owners, id)
	}
	if len(i.ports) != 1 || !strings.HasSuffix(strings.Join(i.cmd, " "), "--listen :"+i.ports[0]+" --data "+i.volumes[0]) {
		t.Errorf("the command %q does not use port %q and volume %q", i.cmd, i.ports, i.volumes)
	}
}

// A container of the image takes a report and gives it back, and ends when it is told to.
func TestImageServes(t *testing.T) {
	t.Parallel()
	i := theImage(t)
	collector := container(t, i)
	stderr := &bytes.Buffer{}
	collector.Stderr = stderr
	stdout, err := collector.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := collector.Start(); err != nil {
		t.Fatal(err)
	}
	defer collector.Process.Kill()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(line)
	if err != nil || url == "" {
		_ = collector.Wait()
		t.Fatalf("it said %q, %v\n%s", line, err, stderr)
	}
	await(t, url+"/readyz")
	answer, err := http.Post(url+"/api/report", "application/json", strings.NewReader(`{"ID":"a"}`))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("a report: got %v, %v", answer, err)
	}
	go io.Copy(io.Discard, stdout)
	if err := collector.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := collector.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, stderr)
	}
}

// await waits until an address answers 200.
func await(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get(url)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, %v", url, answer, err)
		}
	}
}
