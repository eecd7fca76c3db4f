package stores

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	smithylog "github.com/aws/smithy-go/logging"

	"github.com/timeblob/timeblob/dynamoindex"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/s3blob"
)

// homeRegion is the region that requests to servers outside Amazon are signed for.
const homeRegion = "us-east-1"

// Namespace is the prefix of metric names. It is Scope's.
const Namespace = "scope"

// service is the location of an AWS service or of a compatible server.
type service struct {
	*location
	flag    string // the name of the flag in errors
	signFor string // the region when the host is a server; empty for the default
	tls     bool   // whether to use https when the host is a server
}

// parseService parses a URL and the parameters that all services have.
func parseService(flag, text, scheme string) (*service, *parameters, error) {
	l, err := parseLocation(text, scheme)
	if err != nil {
		return nil, nil, err
	}
	if l.name == "" {
		return nil, nil, fmt.Errorf("must be %s://[key:secret@]region-or-host[:port]/name", scheme)
	}
	s, p := &service{location: l, flag: flag}, l.read()
	if !l.region() {
		p.text("region", &s.signFor)
		p.truth("tls", &s.tls)
		err = address.CheckServer(l.host)
	}
	return s, p, err
}

// config returns the SDK's configuration from its files and variables. It sends no requests. The SDK looks
// for credentials when it signs the first request.
func (s *service) config(ctx context.Context, log *slog.Logger) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{config.WithLogger(sdkLog(log))}
	if s.key != "" {
		given := credentials.NewStaticCredentialsProvider(s.key, s.secret, "")
		options = append(options, config.WithCredentialsProvider(given))
	}
	if s.region() {
		options = append(options, config.WithRegion(s.host))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, s.explain(err)
	}
	if !s.region() {
		s.setEndpoint(&cfg)
	}
	if cfg.Credentials != nil {
		cfg.Credentials = finder{cfg.Credentials}
	}
	return cfg, nil
}

func (s *service) setEndpoint(cfg *aws.Config) {
	protocol := "http"
	if s.tls {
		protocol = "https"
	}
	cfg.BaseEndpoint = aws.String(protocol + "://" + s.host)
	if cfg.Region = s.signFor; cfg.Region == "" {
		cfg.Region = homeRegion
	}
}

// sdkLog drops the log lines of the SDK.
func sdkLog(log *slog.Logger) smithylog.Logger {
	return smithylog.LoggerFunc(func(_ smithylog.Classification, format string, v ...any) {
		log.Debug("AWS SDK", "message", fmt.Sprintf(format, v...))
	})
}

// dynamoTable is a DynamoDB table and its options.
type dynamoTable struct {
	*service
	opts    dynamoindex.Options
	created dynamoindex.TableOptions
}

// parseTable parses the URL of a table.
func parseTable(flag, text string) (*dynamoTable, error) {
	s, p, err := parseService(flag, text, dynamoScheme)
	if err != nil {
		return nil, err
	}
	t := &dynamoTable{service: s}
	p.duration("retention", &t.opts.Retention)
	p.integer("attempts", &t.opts.Attempts)
	p.duration("attempt-timeout", &t.opts.AttemptTimeout)
	p.duration("timeout", &t.opts.Timeout)
	p.units("read-units", &t.created.Read)
	p.units("write-units", &t.created.Write)
	p.removed("partitions", "1", "a tenant's hour has one partition key, which takes 1000 writes a second")
	p.removed("lateness", "", "all reads are strongly consistent, as values for past instants and deletions need")
	t.created.Provisioned = t.created.Read > 0 || t.created.Write > 0
	return t, p.err()
}

// open returns the index in the table. It sends no requests.
func (t *dynamoTable) open(ctx context.Context, how *Options) (*dynamoindex.Index, error) {
	opts := t.opts
	if how.Retention != 0 {
		if opts.Retention != 0 {
			return nil, cli.Usagef("--retention and the parameter retention of --index cannot be used together")
		}
		opts.Retention = how.Retention
	}
	opts.Registerer, opts.Namespace = how.Metrics, Namespace
	cfg, err := t.config(ctx, how.Logger)
	if err != nil {
		return nil, err
	}
	x, err := dynamoindex.New(cfg, t.name, &opts)
	return x, cli.AsUsage(Named(t.flag, err))
}

// s3Bucket is an S3 bucket and its options.
type s3Bucket struct {
	*service
	opts s3blob.Options
}

// parseBucket parses the URL of a bucket.
func parseBucket(flag, text string) (*s3Bucket, error) {
	s, p, err := parseService(flag, text, s3Scheme)
	if err != nil {
		return nil, err
	}
	if strings.Contains(s.name, "/") {
		return nil, errors.New("a bucket's name has no slash; prefixes are not supported")
	}
	b := &s3Bucket{service: s}
	b.opts.PathStyle = !s.region()
	p.truth("path-style", &b.opts.PathStyle)
	p.integer("parallel", &b.opts.Parallel)
	p.bytes("max-blob", &b.opts.MaxBlob)
	p.integer("attempts", &b.opts.Attempts)
	p.duration("attempt-timeout", &b.opts.AttemptTimeout)
	p.duration("timeout", &b.opts.Timeout)
	p.truth("unconditional", &b.opts.Unconditional)
	p.removed("hedge", "0", "a GET is sent once, and again only when it fails or takes longer than attempt-timeout")
	return b, p.err()
}

// open returns the tier in the bucket. It sends no requests.
func (b *s3Bucket) open(ctx context.Context, how *Options) (*s3blob.Tier, error) {
	opts := b.opts
	opts.Registerer, opts.Namespace, opts.Logger = how.Metrics, Namespace, how.Logger
	cfg, err := b.config(ctx, how.Logger)
	if err != nil {
		return nil, err
	}
	t, err := s3blob.Open(cfg, b.name, &opts)
	return t, cli.AsUsage(Named(b.flag, err))
}

// awsStore is a store made of a table and a bucket.
type awsStore struct {
	index  *dynamoindex.Index
	tier   *s3blob.Tier
	table  *dynamoTable
	bucket *s3Bucket
}

// create creates the bucket and the table if they do not exist.
func (a *awsStore) create(ctx context.Context) error {
	if err := a.tier.CreateBucket(ctx); err != nil {
		return a.bucket.explain(err)
	}
	return a.table.explain(a.index.CreateTable(ctx, &a.table.created))
}

func (a *awsStore) entries(ctx context.Context, tenant string, from, to int64) iter.Seq2[index.Entry, error] {
	return explained(a.table.location, a.index.Entries(ctx, tenant, from, to))
}

// maxListed is the largest number of hours for which rows lists every hour of the named tenants. Beyond it,
// rows scans the table for existing rows.
const maxListed = 31 * 24

// rows returns the rows of the given tenants, or of all tenants, in [from, to). Some may have no entries.
func (a *awsStore) rows(ctx context.Context, tenants []string, from, to int64) (rows []index.Row, err error) {
	if hours := index.RowAt("", to).Hour - index.RowAt("", from).Hour; len(tenants) > 0 && hours <= maxListed {
		for _, tenant := range tenants {
			rows = slices.AppendSeq(rows, index.Rows(tenant, from, to))
		}
		return rows, nil
	}
	all, err := a.index.Rows(ctx)
	if err != nil {
		return nil, a.table.explain(err)
	}
	return slices.DeleteFunc(all, func(r index.Row) bool {
		return r.Start() >= to || r.End() <= from || len(tenants) > 0 && !slices.Contains(tenants, r.Tenant)
	}), nil
}

func (a *awsStore) close() error { return errors.Join(a.index.Close(), a.tier.Close()) }
