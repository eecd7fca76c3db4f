package servertest

import (
	"errors"
	"os"
	"testing"
)

// AWS are the servers of a collector on AWS: DynamoDB Local, versitygw and memcached. It is for
// programs that are no tests, which close it when they are done.
type AWS struct {
	DynamoDB  string // URL
	S3        S3
	Memcached string // host:port

	close func() error
}

// StartAWS starts the three servers, empty, and returns when all of them answer.
func StartAWS() (*AWS, error) {
	dir, err := os.MkdirTemp("", "timeblob-s3-*")
	if err != nil {
		return nil, err
	}
	stops := []func() error{func() error { return os.RemoveAll(dir) }}
	stop := func() (err error) {
		for i := len(stops) - 1; i >= 0; i-- {
			err = errors.Join(err, stops[i]())
		}
		return err
	}
	var addresses []string
	for _, what := range awsPrograms(dir) {
		p, err := newProcess(what)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		stops = append(stops, p.close)
		addresses = append(addresses, p.Addr())
	}
	return &AWS{DynamoDB: "http://" + addresses[0], S3: S3{"http://" + addresses[1], AccessKey, SecretKey, Region},
		Memcached: addresses[2], close: stop}, nil
}

// Close ends the servers and removes what they stored.
func (a *AWS) Close() error { return a.close() }

// NeedAWS skips a test, or fails it where servers are required, when StartAWS cannot find a program.
func NeedAWS(t testing.TB) {
	t.Helper()
	for _, what := range awsPrograms("") {
		if _, err := what.command(0); err != nil {
			unavailable(t, err)
		}
	}
}

func awsPrograms(dir string) []program {
	return []program{dynamoDBLocal(), versityGW(dir), memcached([]string{"-I", "8m"})}
}
