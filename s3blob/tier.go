package s3blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/sync/semaphore"
)

// Tier is a bucket as an authority. It is safe for any number of goroutines.
type Tier struct {
	client  *s3.Client
	bucket  string
	region  string
	opts    Options
	metrics *metrics
	reading *semaphore.Weighted // GETs under way
	puts    puts
	server  server
	writing sync.Map // keys that are being put unconditionally
	idle    func()   // closes idle connections
}

// Open returns the tier of a bucket, which should exist: see CreateBucket.
// Credentials, region and endpoint (cfg.BaseEndpoint, for another server than
// Amazon's) are cfg's, and so is its HTTP client unless that is the SDK's own;
// retries, checksums and deadlines are the tier's. Open sends no request.
func Open(cfg aws.Config, bucket string, opts *Options) (*Tier, error) {
	all, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	switch {
	case bucket == "":
		return nil, errors.New("s3blob: the bucket needs a name")
	case cfg.Region == "":
		return nil, errors.New("s3blob: the configuration names no region")
	}
	m, err := newMetrics(all.Registerer, all.Namespace)
	if err != nil {
		return nil, err
	}
	t := &Tier{
		bucket: bucket, region: cfg.Region, opts: all, metrics: m,
		reading: semaphore.NewWeighted(int64(all.Parallel)),
	}
	t.client = t.newClient(cfg)
	return t, nil
}

// Close closes idle connections, unless cfg came with an HTTP client that is
// not the SDK's own: that client belongs to the caller. Close must not be
// called before the last Get and Put have returned. It always returns nil.
func (t *Tier) Close() error {
	t.idle()
	return nil
}

func (t *Tier) newClient(cfg aws.Config) *s3.Client {
	cfg = cfg.Copy()
	cfg.HTTPClient, t.idle = t.newHTTPClient(cfg.HTTPClient)
	retryer := newRetryer(&t.opts)
	cfg.Retryer = func() aws.Retryer { return retryer }
	cfg.RetryMaxAttempts = 0 // Options.Attempts are the retryer's own
	cfg.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
	cfg.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = t.opts.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true // Scope's objects have none
		o.APIOptions = append(o.APIOptions, t.addAttempt)
	})
}

// newHTTPClient returns a client that keeps as many connections as there are
// GETs at a time, where the SDK's keeps ten, and a function that closes the
// idle ones.
func (t *Tier) newHTTPClient(given aws.HTTPClient) (aws.HTTPClient, func()) {
	buildable, ok := given.(*awshttp.BuildableClient)
	switch {
	case given == nil:
		buildable = awshttp.NewBuildableClient()
	case !ok:
		return given, func() {}
	}
	transport := buildable.GetTransport() // a copy
	transport.MaxIdleConnsPerHost = max(transport.MaxIdleConnsPerHost, t.opts.Parallel+putConns)
	transport.MaxIdleConns = 0 // what bounds them is the line above
	client := &http.Client{Transport: transport, CheckRedirect: neverFollow}
	return client, client.CloseIdleConnections
}

// putConns is how many idle connections are kept for puts.
const putConns = 16

// neverFollow leaves redirects to the SDK, whose signatures hold for one host.
func neverFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (t *Tier) addAttempt(stack *middleware.Stack) error {
	a := &attempt{name: stack.ID(), bucket: t.bucket, method: method(stack.ID()), timeout: t.opts.AttemptTimeout, limit: t.opts.MaxBlob, now: t.opts.Now, metrics: t.metrics}
	return stack.Finalize.Insert(a, "Retry", middleware.After)
}

// failure returns an error that is also the error of ctx when ctx has ended. It
// adds neither the operation nor the key: the caller of a Tier names both.
func (t *Tier) failure(ctx context.Context, err error) error {
	switch ended := ctx.Err(); {
	case ended == nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("not done within %v: %w", t.opts.Timeout, err)
	case ended != nil && !errors.Is(err, ended):
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}
