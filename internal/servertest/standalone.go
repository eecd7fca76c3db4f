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

	s3    *Process
	close func() error
}

// PauseS3 freezes the S3 server: connections are accepted and nothing answers.
func (a *AWS) PauseS3() error { return a.s3.current().freeze() }

// ResumeS3 lets the S3 server go on.
func (a *AWS) ResumeS3() error { return resume(a.s3.current().process) }

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
	var started []*Process
	for _, what := range awsPrograms(dir) {
		p, err := newProcess(what)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		stops = append(stops, p.close)
		started = append(started, p)
	}
	return &AWS{DynamoDB: "http://" + started[0].Addr(), S3: S3{"http://" + started[1].Addr(), AccessKey, SecretKey, Region},
		Memcached: started[2].Addr(), s3: started[1], close: stop}, nil
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
