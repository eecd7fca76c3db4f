package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TenantHeader is the request header in which Scope's clients name the tenant.
const TenantHeader = "X-Scope-OrgID"

// maxAnswer limits the size of an answer, in bytes.
const maxAnswer = 1 << 30

// Client asks a collector over HTTP.
type Client struct {
	base   *url.URL
	header string // names the tenant
	tenant string
	token  string // empty for none
	HTTP   *http.Client
	tls    *tls.Config // nil for the default
}

// Flags are the flags of subcommands that talk to a collector.
type Flags struct {
	tenant  *string
	header  string
	token   string
	timeout time.Duration
	tls     *tlsfiles.Client
}

func DefineFlags(f *cli.Flags, tenant *string) *Flags {
	r := &Flags{tenant: tenant, tls: tlsfiles.DefineClient(f, "")}
	f.StringVar(&r.header, "tenant-header", TenantHeader, "the `NAME` of the request header that names the tenant")
	f.TokenVar(&r.token, "token", "the `TOKEN` that a collector with tokens wants; better in "+cli.Variable("token")+
		", since others see a process's arguments")
	f.DurationVar(&r.timeout, "timeout", 30*time.Second, "wait at most a `DURATION` for each answer")
	f.Must(func() error { return cli.Positive("timeout", r.timeout) })
	return r
}

// At returns a client for the collector at a URL.
func (f *Flags) At(address string, connections int) (*Client, error) {
	base, err := parseURL(address)
	if err != nil {
		return nil, cli.Usagef("%q: %v", address, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = connections
	transport.DisableCompression = true
	secure, err := f.tls.Config()
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = secure.Clone()
	return &Client{base: base, header: f.header, tenant: *f.tenant, token: f.token, tls: secure,
		HTTP: &http.Client{Transport: transport, Timeout: f.timeout, CheckRedirect: questionsOnly}}, nil
}

// questionsOnly follows redirections of GET requests only. After the redirection of a post, the answer of a
// login page could pass for the collector's.
func questionsOnly(_ *http.Request, via []*http.Request) error {
	switch {
	case via[0].Method != http.MethodGet:
		return http.ErrUseLastResponse
	case len(via) == 10:
		return errors.New("stopped after 10 redirections")
	}
	return nil
}

// parseURL parses a collector's URL, such as http://127.0.0.1:4040. The scheme is optional, and so is the
// path of the API.
func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	base, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("give a URL as http://127.0.0.1:4040")
	}
	if base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the URL must end with its path: flags say what to ask for")
	}
	if err := address.CheckServer(base.Host); err != nil {
		return nil, err
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/api/report")
	return base, nil
}

// Request prepares a request for the collector's reports.
func (r *Client) Request(ctx context.Context, method string, query url.Values, body []byte) (*http.Request, error) {
	target := r.base.JoinPath("api", "report")
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "timeblob-collector")
	if r.tenant != "" {
		req.Header.Set(r.header, r.tenant)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	return req, nil
}

// Answer is a collector's answer to a question.
type Answer struct {
	Report  *report.Report
	Missing string // names what is missing in the report; empty for nothing
	Range   string // the range that was answered, of a question that asked to round
}

// Ask returns the collector's answer to a question.
func (r *Client) Ask(ctx context.Context, query url.Values) (a Answer, err error) {
	req, err := r.Request(ctx, http.MethodGet, query, nil)
	if err != nil {
		return a, err
	}
	req.Header.Set("Accept", "application/msgpack")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := r.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return a, r.Refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return a, err
	}
	if len(body) > maxAnswer {
		return a, fmt.Errorf("the answer is larger than %s: ask for less time", human.Bytes(maxAnswer))
	}
	if a.Report, err = wire.DecodeMsgpack(body); err != nil {
		err = fmt.Errorf("the answer is not a report but %s: check the URL (%w)", contentType(resp), err)
	}
	a.Missing, a.Range = terminal.Clean(resp.Header.Get("Timeblob-Missing")), terminal.Clean(resp.Header.Get("Timeblob-Range"))
	return a, err
}

// RefusalError is an answer with another status than 200, with the first line of its body.
type RefusalError struct {
	status int
	text   string
	advice string // what the user can do; empty for none
	final  bool   // whether a retry is pointless for any status
}

func (e *RefusalError) Error() string {
	if e.advice == "" {
		return e.text
	}
	return e.text + " (" + e.advice + ")"
}

// ToAll reports whether the collector would refuse any other request too.
func (e *RefusalError) ToAll() bool {
	return e.final || slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed}, e.status)
}

// Stored returns nil when the answer to a post, of status 200, comes from a collector. Answers of collectors,
// ours and Scope's, have no body; a login page has one.
func (r *Client) Stored(resp *http.Response) error {
	if n, err := io.ReadFull(resp.Body, make([]byte, 1)); n == 0 && err == io.EOF {
		return nil
	} else if n == 0 {
		return err
	}
	return &RefusalError{status: resp.StatusCode, text: "the answer is " + contentType(resp) + ", but a collector's answer is empty",
		advice: "nothing counts as stored; check the URL, and the proxies in front of the collector", final: true}
}

// contentType describes the content type of an answer.
func contentType(resp *http.Response) string {
	if given := resp.Header.Get("Content-Type"); given != "" {
		return terminal.Clean(given)
	}
	return "without a content type"
}

func (r *Client) Refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	e := &RefusalError{status: resp.StatusCode, text: resp.Status, advice: r.advice(resp)}
	if line != "" {
		e.text += ": " + terminal.Clean(line)
	}
	if target, err := resp.Location(); err == nil {
		e.text, e.advice, e.final = resp.Status+" to "+terminal.Clean(target.Redacted()),
			"redirections of posts are not followed; give the URL of the collector itself", true
	}
	if resp.StatusCode > 200 && resp.StatusCode < 300 {
		e.advice, e.final = "a collector answers 200; check the URL, and the proxies in front of the collector", true
	}
	if strings.HasPrefix(line, plainToTLS) {
		e.advice, e.final = "give https:// in the URL", true
	}
	return e
}

// advice says what the user can do about a refusal.
func (r *Client) advice(resp *http.Response) string {
	status, asked := resp.StatusCode, strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer")
	switch {
	case status == http.StatusUnauthorized && asked && r.token == "":
		return "give --token, or set " + cli.Variable("token")
	case status == http.StatusUnauthorized && asked:
		return "check --token or " + cli.Variable("token") + ", which the collector's tenants file must hold"
	case status == http.StatusUnauthorized && r.tenant == "":
		return "give --tenant and, where the collector reads another header than " + r.header + ", --tenant-header"
	case status == http.StatusUnauthorized:
		return "the tenant was sent in the header " + r.header + ": --tenant-header must name the one that it reads"
	case status == http.StatusForbidden && r.token != "" && r.tenant != "":
		return "leave --tenant out: the token decides the tenant"
	case status == http.StatusForbidden:
		return "a collector forbids only what a token does not allow, so ask the operator of the proxy in front of it; it may want " +
			"http://user:password@ in the URL"
	case status == http.StatusNotFound:
		return "no collector answers at " + r.base.Redacted() + ": check the URL's port and path"
	case status == http.StatusMethodNotAllowed:
		return "a query service takes no reports: give the URL of a collector"
	}
	return ""
}

// Do sends a request. An error that every other request would meet too is a *RefusalError.
func (r *Client) Do(req *http.Request) (*http.Response, error) {
	resp, err := r.HTTP.Do(req)
	if err == nil {
		return resp, nil
	}
	if advice := mistrust(err); advice != "" {
		return nil, &RefusalError{text: err.Error(), advice: advice, final: true}
	}
	if alert := alert(req.Context(), err, r.base, r.tls); alert != nil {
		return nil, &RefusalError{text: fmt.Sprintf("%v: %v", err, alert), advice: mistrust(alert), final: true}
	}
	return nil, err
}
