package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
	"github.com/timeblob/timeblob/tiered"
)

func TestDeleteHelp(t *testing.T) {
	t.Parallel()
	golden(t, "delete-help.golden", must(t, "help", "delete"))
}

func TestDeleteUsage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args string
		want string
	}{
		"nothing":             {"", "give --data, or --index and --blobs"},
		"no tenant":           {"--data d --all --yes", "give --tenant"},
		"no range":            {"--data d --tenant a --yes", "give --start and --end, or --all"},
		"half a range":        {"--data d --tenant a --start 1 --yes", "give --start and --end, or --all"},
		"all and a range":     {"--data d --tenant a --all --start 1 --end 2 --yes", "cannot be used together"},
		"backwards":           {"--data d --tenant a --start 2 --end 1 --yes", "--end is before --start"},
		"beyond all time":     {"--data d --tenant a --start 2 --end +2562000h --yes", "2262"},
		"a bad tenant":        {"--data d --tenant a/ --all --yes", "tenant id"},
		"two stores":          {"--data d --index dynamodb://h/tab --blobs s3://h/b --tenant a --all --yes", "cannot be used together"},
		"a negative wait":     {"--data d --tenant a --all --yes --wait -1s", "must not be negative"},
		"arguments":           {"--data d --tenant a --all --yes x", `"x" is no flag`},
		"no terminal, no yes": {"--data d --tenant a --all", "give --yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkUsage(t, collect(t, append([]string{"delete"}, strings.Fields(c.args)...)...), c.want)
		})
	}
}

// firstHour is the instant of the first of the hourly reports. It is recent, because a deletion of everything
// lists the blobs of each hour since.
var firstHour = time.Now().Truncate(time.Hour).Add(-48 * time.Hour)

// hourly writes reports that are an hour apart, and returns the paths.
func hourly(t *testing.T, hours int) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for i := range hours {
		path := filepath.Join(dir, fmt.Sprintf("%d.json", firstHour.Add(time.Duration(i)*time.Hour).UnixNano()))
		paths = append(paths, write(t, path, sample(fmt.Sprint("host-", i), i)))
	}
	return paths
}

// since returns the flags of a range of seconds after the first hour.
func since(from, to int64) string {
	return fmt.Sprintf("--start %d --end %d", firstHour.Unix()+from, firstHour.Unix()+to)
}

// checkDelete deletes from a store, and checks after each deletion what is left.
func checkDelete(t *testing.T, store []string) {
	t.Helper()
	paths := hourly(t, 6)
	on := func(args ...string) []string { return append(args, store...) }
	for _, tenant := range []string{"a", ""} {
		must(t, append(on("import", "--tenant", tenant), paths...)...)
	}
	left := func(tenant string, paths ...string) {
		t.Helper()
		got := must(t, on("query", "--json", "--tenant", tenant, "--start", "-1", "--end", "now")...)
		want := must(t, append([]string{"merge", "--json"}, paths...)...)
		goldentest.Equal(t, []byte(got), []byte(want), anyID)
	}
	for i, c := range []struct {
		args string
		said string
		rest []string // of tenant a
	}{
		{since(3600, 10800), "deleted 2 values and 2 blobs, in ", slices.Concat(paths[:1], paths[3:])},
		{since(3600, 10800), "deleted 0 values and 0 blobs, in ", slices.Concat(paths[:1], paths[3:])},
		{since(10801, 14401), "deleted 1 value and 1 blob, in ", slices.Concat(paths[:1], paths[3:4], paths[5:])},
		{"--all", "deleted 3 values and 3 blobs, in ", nil},
		{"--all", "deleted 0 values and 0 blobs, in ", nil},
	} {
		said := must(t, on(append([]string{"delete", "--tenant", "a", "--yes", "--wait", "0"}, strings.Fields(c.args)...)...)...)
		if !strings.HasPrefix(said, c.said) {
			t.Errorf("deletion %d said %q, want %q", i, said, c.said)
		}
		if c.rest != nil {
			left("a", c.rest...)
		}
		left("", paths...)
	}
	if said := must(t, on("query", "--tenant", "a", "--start", "-1", "--end", "now")...); !strings.Contains(said, "0 stored values") {
		t.Errorf("after all: %s", said)
	}
}

func TestDeleteFromDirectory(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	checkDelete(t, []string{"--data", data})
	if said := must(t, "check", data); !strings.Contains(said, "6 values can be read; 0 blobs without a value") {
		t.Errorf("check said %q", said)
	}
	r := collect(t, append([]string{"delete", "--data", data, "--tenant=", "--yes", "--wait", "0"}, strings.Fields(since(3600, 7201))...)...)
	for _, want := range []string{"the default tenant\n", "  entries   2\n",
		"  first     " + human.Time(firstHour.Add(time.Hour)) + "\n", "  last      " + human.Time(firstHour.Add(2*time.Hour)) + "\n"} {
		if r.code != 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("exit %d, no %q in %s", r.code, want, r.stderr)
		}
	}
}

// TestDeleteFromServers deletes from a table, a bucket and a cache, and also a blob that no entry names.
func TestDeleteFromServers(t *testing.T) {
	t.Parallel()
	cache, _ := servertest.Memcached(t)
	idx, blobs := newTable(t, servertest.SharedDynamoDBLocal), newBucket(t)
	checkDelete(t, append(create(t, idx, blobs), "--cache", "memcached://"+cache))

	s, err := must1(stores.Parse("--to", idx+","+blobs)).Open(t.Context(), stores.Options{Logger: telemetry.Warnings(&buffer{})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, e := at("a", 5)
	if err := s.Authority.Put(t.Context(), e.Key, []byte("left behind")); err != nil {
		t.Fatal(err)
	}
	args := []string{"delete", "--index", idx, "--blobs", blobs, "--tenant", "a", "--start", "0", "--end", "1", "--yes", "--wait", "1ms"}
	if said := must(t, args...); !strings.HasPrefix(said, "deleted 0 values and 1 blob, 1 of them without an entry, in ") {
		t.Errorf("said %q", said)
	}
	if n := countBlobs(t, s); n != 6 {
		t.Errorf("%d blobs are left, want those of the other tenant", n)
	}
	r := collect(t, append(args, "--index", idx+"x")...)
	if r.code != 1 || !strings.Contains(r.stderr, "there is no such table") || strings.Contains(r.stderr, servertest.SecretKey) {
		t.Errorf("no table: exit %d, %s", r.code, r.stderr)
	}
}

// countBlobs counts all blobs of a store.
func countBlobs(t *testing.T, s *stores.Store) (n int) {
	t.Helper()
	for _, err := range s.Authority.(tiered.Lister).List(t.Context(), "", 0, int64(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestDeleteInterrupted interrupts a process, and repeats its deletion.
func TestDeleteInterrupted(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	must(t, append([]string{"import", "--data", data}, hourly(t, 20)...)...)
	stderr, ended := &buffer{}, make(chan error, 1)
	cmd := child("delete", "--data", data, "--tenant=", "--start", "-72h", "--end", "now", "--yes", "--wait", "24h")
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- cmd.Wait() }()
	eventually(t, func() bool { return strings.Contains(stderr.String(), "blobs go") }, "it does not say what it deletes")
	_ = cmd.Process.Signal(os.Interrupt)
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasSuffix(stderr.String(), "collector: interrupted\n") {
		t.Errorf("exit %d, said %s", code, stderr)
	}

	must(t, "delete", "--data", data, "--tenant=", "--start", "-72h", "--end", "now", "--yes", "--wait", "0")
	if said := must(t, "check", data); !strings.HasPrefix(said, "0 values can be read; 0 blobs without a value") {
		t.Errorf("check said %q", said)
	}
}

// deletable is a store in memory that can delete.
func deletable(t *testing.T, values int) *stores.Store {
	t.Helper()
	s := memory(t, "a")
	fill(t, s, "a", values)
	s.Entries = func(context.Context, string, int64, int64) iter.Seq2[index.Entry, error] {
		return func(func(index.Entry, error) bool) { t.Error("a short range needs no entries of long ones") }
	}
	return s
}

// deleteFrom deletes the first hour from a store of tenant a.
func deleteFrom(ctx context.Context, t *testing.T, s *stores.Store) result {
	t.Helper()
	program := &cli.Program{Commands: []*cli.Command{{Name: "delete", Define: func(f *cli.Flags) cli.Action {
		d := &deleting{}
		d.define(f)
		return func(ctx context.Context, p *cli.Process, _ []string) error { return d.from(ctx, p, s) }
	}}}}
	var stdout, stderr buffer
	args := []string{"delete", "--data", "d", "--tenant", "a", "--start", "0", "--end", "3600", "--yes"}
	code := program.Run(ctx, args, strings.NewReader(""), &stdout, &stderr, func(string) (string, bool) { return "", false })
	return result{code, stdout.String(), stderr.String()}
}

// TestDeleteInterruptedInTheWait checks that an interrupt of the wait is obeyed at once, and that a repetition
// deletes the blobs that it left.
func TestDeleteInterruptedInTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, begun := deletable(t, 30), time.Now()
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(30*time.Second, interrupt) // the wait is a minute
		r := deleteFrom(ctx, t, s)
		if r.code != 1 || !strings.HasPrefix(r.stdout, "deleted 30 values and 0 blobs, in 30 s") ||
			!strings.HasSuffix(r.stderr, "collector: 30 blobs left without an entry: repeat the command to delete them\ncollector: interrupted\n") {
			t.Errorf("exit %d, said %q, %q", r.code, r.stdout, r.stderr)
		}
		if took := time.Since(begun); took != 30*time.Second || countBlobs(t, s) != 30 {
			t.Errorf("it took %v, and %d blobs are left", took, countBlobs(t, s))
		}
		r = deleteFrom(t.Context(), t, s)
		if r.code != 0 || !strings.HasPrefix(r.stdout, "deleted 0 values and 30 blobs, 30 of them without an entry, in 1 min") || countBlobs(t, s) != 0 {
			t.Errorf("again: exit %d, said %q, %q", r.code, r.stdout, r.stderr)
		}
	})
}

// TestDeleteUnsupported checks that stores which cannot delete are refused before anything is deleted.
func TestDeleteUnsupported(t *testing.T) {
	t.Parallel()
	s := deletable(t, 3)
	s.Index = struct{ index.Index }{s.Index}
	checkUsage(t, deleteFrom(t.Context(), t, s), "cannot remove entries")
	s = deletable(t, 3)
	s.Authority = struct{ tiered.Tier }{s.Authority}
	checkUsage(t, deleteFrom(t.Context(), t, s), "cannot delete and list blobs")
	row, _ := at("a", 0)
	if entries, err := s.Index.Query(t.Context(), row, 0, 100); err != nil || len(entries) != 3 {
		t.Errorf("%d entries are left, %v", len(entries), err)
	}
}

// TestDeleteConfirms checks what answers to the question do.
func TestDeleteConfirms(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "YES\r\n": true, "y": true, "": false, "\n": false, "n\n": false, "yonder\n": false} {
		var asked buffer
		yes, err := terminal.Confirm(t.Context(), strings.NewReader(answer), &asked, "Sure?")
		if yes != want || err != nil || asked.String() != "Sure? (y/N) " {
			t.Errorf("%q: %v, %v, asked %q", answer, yes, err, asked.String())
		}
	}
}
