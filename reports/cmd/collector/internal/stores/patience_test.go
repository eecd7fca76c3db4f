package stores

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestThrottlingIsExplained(t *testing.T) {
	t.Parallel()
	err := (&location{scheme: "dynamodb", host: "h", name: "n"}).explain(&types.ProvisionedThroughputExceededException{})
	if want := "dynamodb://h/n: throttled: the table has too few provisioned units"; !strings.HasPrefix(err.Error(), want) || !throttled(err) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A proxy that is away is not taken for the store.
func TestProxyIsExplained(t *testing.T) {
	t.Parallel()
	away := &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
	err := (&location{scheme: "s3", host: "h", name: "n"}).explain(fmt.Errorf("put: %w", away))
	if want := "s3://h/n: the proxy that HTTP_PROXY or HTTPS_PROXY names cannot be reached"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &patience{warn: func(string, ...any) {}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin, asked := time.Now(), 0
		err := a.wait(ctx, func() error { asked++; return &types.RequestLimitExceeded{} })
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != time.Hour || asked < 120 || asked > 300 {
			t.Errorf("error %v after %v and %d tries", err, took, asked)
		}
		broken := errors.New("broken")
		if err := a.wait(t.Context(), func() error { return broken }); err != broken {
			t.Errorf("got error %v, want %v", err, broken)
		}
	})
}
