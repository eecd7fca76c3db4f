package dynamoindex

import (
	"errors"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
)

// idleConnections is how many are kept for the next burst of requests.
const idleConnections = 64

// newClient returns a client that retries, gives up and measures as this
// package promises, and a function that closes its idle connections.
func newClient(cfg aws.Config, table string, o *Options, m *metrics, c *clock) (*dynamodb.Client, func()) {
	web, idle := httpClient(cfg.HTTPClient)
	w := &watch{table: table, metrics: m, clock: c, attemptTimeout: o.AttemptTimeout, timeout: o.Timeout}
	return dynamodb.NewFromConfig(cfg, func(d *dynamodb.Options) {
		d.HTTPClient = web
		d.Retryer, d.RetryMaxAttempts = newRetryer(o), 0
		d.APIOptions = append(slices.Clip(d.APIOptions), w.join)
	}), idle
}

// join puts w around each request, each attempt and each answer.
func (w *watch) join(stack *middleware.Stack) error {
	return errors.Join(
		stack.Initialize.Add(middleware.InitializeMiddlewareFunc("timeblob.Request", w.request), middleware.Before),
		stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("timeblob.Attempt", w.attempt), "Retry", middleware.After),
		stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("timeblob.Answer", w.answer), middleware.After),
	)
}

// httpClient returns given, unless it is nil or the SDK's own kind, whose
// connections cannot be closed: then it returns a client that keeps enough
// connections.
func httpClient(given aws.HTTPClient) (client aws.HTTPClient, idle func()) {
	buildable, ok := given.(*awshttp.BuildableClient)
	if !ok && given != nil {
		return given, func() {}
	}
	if buildable == nil {
		buildable = awshttp.NewBuildableClient()
	}
	transport := buildable.GetTransport()
	transport.MaxIdleConns = max(transport.MaxIdleConns, idleConnections)
	transport.MaxIdleConnsPerHost = max(transport.MaxIdleConnsPerHost, idleConnections)
	asIs := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: asIs}, transport.CloseIdleConnections
}
