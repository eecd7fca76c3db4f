// Package backup lets one process ask another, which holds the directory of an
// embedded store, to write a copy of it. They meet at a socket in the directory,
// which only the directory's owner may use.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// socketName is the socket's name in the store's directory.
const socketName = "BACKUP.sock"

// ErrNobody says that no process serves the directory.
var ErrNobody = errors.New("no running collector holds the directory")

// Serve answers what Ask asks by calling write, until stop is called.
func Serve(dir string, write func(ctx context.Context, to string) error) (stop func(), err error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // the socket of a process that was killed; the directory's lock is ours
	}
	short, release, err := address(dir)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("unix", short)
	if err != nil {
		release()
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		err = errors.Join(err, listener.Close())
		release()
		return nil, err
	}
	web := &http.Server{Handler: handler(write), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = web.Serve(listener) // ends with stop
	}()
	return func() { web.Close(); <-ended; release() }, nil
}

// maxAddress is the longest path that every system takes as the address of a socket.
const maxAddress = 100

// address returns the address of the socket in a directory, which is valid until release is called. A longer path
// than an address may have is replaced with one by the directory's descriptor, which Linux has.
func address(dir string) (path string, release func(), err error) {
	if path = filepath.Join(dir, socketName); len(path) <= maxAddress {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName), func() { d.Close() }, nil
}

func handler(write func(ctx context.Context, to string) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		if err := write(r.Context(), r.FormValue("to")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}

// Ask has the process that holds a directory write a copy to another one. It
// returns ErrNobody when there is no such process.
func Ask(ctx context.Context, dir, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	path, release, err := address(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNobody
	}
	if err != nil {
		return err
	}
	defer release()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	form := strings.NewReader(url.Values{"to": {to}}.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://collector/backup", form)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return ErrNobody
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("the running collector stopped before the copy was whole: remove %q if it is there, and repeat", to)
	}
	if err != nil {
		return fmt.Errorf("ask the running collector: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the running collector says: %s", strings.TrimSpace(string(text)))
	}
	return err
}
