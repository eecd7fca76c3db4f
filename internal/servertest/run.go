package servertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

const (
	stopWithin = 5 * time.Second
	logTail    = 64 << 10 // bytes of a server's output that a failed test shows
)

// run is one process from its start to its end.
type run struct {
	process *os.Process
	output  *os.File      // standard output and error; an unlinked file
	ended   chan struct{} // closed when the process is gone and waited for
}

// launch starts a command line with nothing of the environment that could change what the server does.
func launch(argv []string) (*run, error) {
	output, err := unlinked()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = environment()
	cmd.Dir = os.TempDir()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = attributes()
	r := &run{output: output, ended: make(chan struct{})}
	started := make(chan error)
	go r.supervise(cmd, started)
	if err := <-started; err != nil {
		return nil, errors.Join(err, output.Close())
	}
	return r, nil
}

// supervise starts the command and waits for its end, on one thread: the kernel ends a child when the
// thread that started it does, so that thread must not go back to the runtime before the child is gone.
func (r *run) supervise(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err == nil {
		r.process = cmd.Process
	}
	started <- err
	if err == nil {
		_ = cmd.Wait() // how it ended is no news: tests kill it
		close(r.ended)
	}
}

func environment() []string {
	env := []string{"LANG=C.UTF-8", "DDB_LOCAL_TELEMETRY=0"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (r *run) dead() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// kill returns when the process is gone.
func (r *run) kill() error {
	if err := r.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.ended
	return nil
}

// freeze returns when every thread has stopped: the signal alone is only a request.
func (r *run) freeze() error {
	if err := pause(r.process); err != nil {
		return err
	}
	for deadline := time.Now().Add(stopWithin); !frozen(r.process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("still runs %v after it was stopped", stopWithin)
		}
	}
	return nil
}

// said returns the last logTail bytes of the output.
func (r *run) said() string {
	info, err := r.output.Stat()
	if err != nil {
		return fmt.Sprintf("(its output is lost: %v)", err)
	}
	from := max(0, info.Size()-logTail)
	text := make([]byte, info.Size()-from)
	n, _ := r.output.ReadAt(text, from)
	return string(text[:n])
}

// unlinked returns a file that has no name and so is gone when the last process that has it open is.
func unlinked() (*os.File, error) {
	file, err := os.CreateTemp("", "timeblob-server-*")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
