package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// container is the image's command on a free port. Run by root it sees nothing but a copy of the image's tree, as
// the image's user; run by others it only has the command of the image, and a directory of its own.
func container(t *testing.T, i image) *exec.Cmd {
	t.Helper()
	root := t.TempDir()
	args := strings.Split(strings.Replace(strings.Join(i.cmd, "\n"), ":4040", "127.0.0.1:0", 1), "\n")
	if os.Geteuid() != 0 {
		args[len(args)-1] = root
		return exec.Command(filepath.Join(i.root, i.entrypoint[0]), append(i.entrypoint[1:], args...)...)
	}
	if err := command("cp", "-R", i.root+"/.", root); err != nil {
		t.Fatal(err)
	}
	for path, owner := range i.owners {
		if err := os.Chown(filepath.Join(root, path), owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	user, _, _ := strings.Cut(i.user, ":")
	id, err := strconv.ParseUint(user, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(i.entrypoint[0], append(i.entrypoint[1:], args...)...)
	cmd.Path, cmd.Err, cmd.Dir, cmd.Env = i.entrypoint[0], nil, "/", []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}}
	return cmd
}
