package files

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
)

// stdinPath is the argument for standard input.
const stdinPath = "-"

// Help is the part of help about FILE and DIR.
const Help = `Directories are searched at any depth for files that end in .msgpack.gz, .msgpack, .json
or .json.gz; links to directories are not followed. Files are taken in the order of their base names:
those that begin with a number come first and by its value, others bytewise, and files of the same
name by their paths. A file that is named twice is taken once.`

// Endings are the file name endings of reports.
var Endings = []string{".msgpack.gz", ".msgpack", ".json.gz", ".json"}

// Ending returns the ending of a report file, or "".
func Ending(path string) string {
	for _, e := range Endings {
		if strings.HasSuffix(path, e) && filepath.Base(path) != e {
			return e
		}
	}
	return ""
}

// Batch is work on many files. A file that fails does not stop the others.
type Batch struct {
	P     *cli.Process
	Files []string // in the order of the work

	mu     sync.Mutex
	failed int // guarded by mu
}

// Gather finds the files that arguments name. Files that cannot be read count as failed. It returns an error
// when there is no file.
func Gather(p *cli.Process, args []string) (*Batch, error) {
	if len(args) == 0 {
		return nil, cli.Usagef("give at least one file or directory")
	}
	b := &Batch{P: p}
	w := walk{Batch: b, seen: map[string]bool{}}
	for _, arg := range args {
		w.add(arg)
	}
	w.warnOthers()
	slices.SortStableFunc(b.Files, byBase)
	if len(b.Files) == 0 {
		return nil, b.Err("no reports found")
	}
	return b, nil
}

// Fail reports that a file failed.
func (b *Batch) Fail(path string, err error) {
	b.mu.Lock()
	b.failed++
	b.mu.Unlock()
	var wrong *fs.PathError
	if errors.As(err, &wrong) && wrong.Path == path {
		err = wrong.Err // the message names the path once
	}
	b.P.Warn("%s: %v", path, err)
}

// Err returns the error of the whole batch, or nil when no file failed. When the batch has no file, the error
// says none.
func (b *Batch) Err(none string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failed > 0:
		return fmt.Errorf("%d of %s failed", b.failed, human.Plural(max(b.failed, len(b.Files)), "file"))
	case len(b.Files) == 0:
		return errors.New(none)
	}
	return nil
}

// walk collects files.
type walk struct {
	*Batch
	seen   map[string]bool // absolute paths
	others []string        // files in directories that have another ending
}

// add collects the files that one argument names.
func (w *walk) add(arg string) {
	info, err := os.Stat(arg)
	switch {
	case arg == stdinPath:
		w.take(arg)
	case err != nil:
		w.Fail(arg, err)
	case info.IsDir():
		w.search(arg)
	default:
		w.take(arg)
	}
}

// search collects the report files below a directory.
func (w *walk) search(dir string) {
	fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		path := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			w.Fail(path, err)
		case !isFile(path, d):
		case Ending(path) == "":
			w.others = append(w.others, path)
		default:
			w.take(path)
		}
		return nil
	})
}

// isFile reports whether d is a file or a link to a file.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (w *walk) take(path string) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		w.Fail(path, err)
		return
	}
	if !w.seen[absolute] {
		w.seen[absolute] = true
		w.Files = append(w.Files, path)
	}
}

// warnOthers names the first few files with other endings.
func (w *walk) warnOthers() {
	if n := len(w.others); n > 0 {
		w.P.Warn("warning: passed over %s that do not end in %s: %s",
			human.Plural(n, "file"), strings.Join(Endings, ", "), strings.Join(w.others[:min(n, 3)], ", "))
	}
}

// byBase orders paths by base name.
func byBase(a, b string) int {
	x, y := filepath.Base(a), filepath.Base(b)
	return cmp.Or(byNumber(leadingNumber(x), leadingNumber(y)), cmp.Compare(x, y), cmp.Compare(a, b))
}

// byNumber orders decimal numbers by value. Numbers come before other texts.
func byNumber(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	negative := a[0] == '-'
	if negative != (b[0] == '-') {
		return cmp.Compare(a[0], b[0])
	}
	order := cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	if negative {
		return -order
	}
	return order
}

// leadingNumber returns the decimal number at the beginning of a name without leading zeros, or "". The
// number may be negative.
func leadingNumber(name string) string {
	digits, negative := strings.CutPrefix(name, "-")
	number := digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
	if number == "" {
		return ""
	}
	number = strings.TrimLeft(number[:len(number)-1], "0") + number[len(number)-1:]
	if negative {
		return "-" + number
	}
	return number
}
