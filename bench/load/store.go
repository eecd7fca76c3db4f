package main

import (
	"errors"
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

// openStore returns the flags of collector serve for a store, and what ends the
// store when the collector has ended.
func openStore(kind, dir string, stderr io.Writer) (flags []string, end func() error, err error) {
	nothing := func() error { return nil }
	switch kind {
	case storeDirectory:
		return []string{"--data", filepath.Join(dir, "data")}, nothing, nil
	case storeFlags:
		return nil, nothing, nil
	}
	fmt.Fprintln(stderr, "load: starting DynamoDB Local, versitygw and memcached")
	servers, err := servertest.StartAWS()
	if err != nil {
		return nil, nil, fmt.Errorf("%w (scripts/install-servers installs the servers)", err)
	}
	table, bucket := hostOf(servers.DynamoDB), hostOf(servers.S3.Endpoint)
	who := servertest.AccessKey + ":" + servertest.SecretKey + "@"
	return []string{"--create", "--alone", "--index", "dynamodb://" + who + table + "/load", "--blobs", "s3://" + who + bucket + "/load",
		"--cache", "memcached://" + servers.Memcached, "--journal", filepath.Join(dir, "journal")}, servers.Close, nil
}

func hostOf(url string) string { return strings.TrimPrefix(url, "http://") }

// checkStore refuses a kind of store that is not known, and one beside a URL.
func (o *options) checkStore() error {
	switch {
	case o.store != storeDirectory && o.store != storeAWS && o.store != storeFlags:
		return fmt.Errorf("-store %q: must be %s, %s or %s", o.store, storeDirectory, storeAWS, storeFlags)
	case o.url != "" && o.store != storeDirectory:
		return errors.New("with -url there is no collector to start: leave out -store")
	}
	return nil
}
