package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/timeblob/timeblob/internal/servertest"
)

// The stores that a collector can be started on.
const (
	storeDirectory = "directory" // the embedded one, in a directory of the run
	storeAWS       = "aws"       // the real servers that tests use
	storeFlags     = "flags"     // what the flags behind -- say
)

// backend is a store that was started for a run.
type backend struct {
	flags         []string     // of collector serve
	end           func() error // to be called when the collector has ended
	pause, resume func() error // of the bucket; nil where there is none
}

// openStore starts a store.
func openStore(kind, dir string, stderr io.Writer) (*backend, error) {
	nothing := func() error { return nil }
	switch kind {
	case storeDirectory:
		return &backend{flags: []string{"--data", filepath.Join(dir, "data")}, end: nothing}, nil
	case storeFlags:
		return &backend{end: nothing}, nil
	}
	fmt.Fprintln(stderr, "load: starting DynamoDB Local, versitygw and memcached")
	servers, err := servertest.StartAWS()
	if err != nil {
		return nil, fmt.Errorf("%w (scripts/install-servers installs the servers)", err)
	}
	table, bucket := hostOf(servers.DynamoDB), hostOf(servers.S3.Endpoint)
	who := servertest.AccessKey + ":" + servertest.SecretKey + "@"
	flags := []string{"--create", "--alone", "--index", "dynamodb://" + who + table + "/load", "--blobs", "s3://" + who + bucket + "/load",
		"--cache", "memcached://" + servers.Memcached, "--journal", filepath.Join(dir, "journal")}
	return &backend{flags: flags, end: servers.Close, pause: servers.PauseS3, resume: servers.ResumeS3}, nil
}

func hostOf(url string) string { return strings.TrimPrefix(url, "http://") }
