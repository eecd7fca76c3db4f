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

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/cli"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/human"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/terminal"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/tlsfiles"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// TenantHeader is the request header in which Scope names the tenant.
const TenantHeader = "X-Scope-OrgID"

// maxAnswer bounds what a collector may answer, in bytes.
const maxAnswer = 1 << 30

// Client is a collector that is asked over HTTP.
type Client struct {
	base   *url.URL
	header string // names the tenant
	tenant string
	token  string // empty for none
	HTTP   *http.Client
	tls    *tls.Config // of the client; nil for the default
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
	f.StringVar(&r.header, "tenant-header", TenantHeader, "the `NAME` of the request header that says the tenant")
	f.TokenVar(&r.token, "token", "the `TOKEN` that a collector with tokens wants; better in "+cli.Variable("token")+
		", since others see a process's arguments")
	f.DurationVar(&r.timeout, "timeout", 30*time.Second, "wait at most a `DURATION` for each answer")
	f.Must(func() error { return cli.Positive("timeout", r.timeout) })
	return r
}

// At returns the collector at a URL.
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
		HTTP: &http.Client{Transport: transport, Timeout: f.timeout, CheckRedirect: sameMethod}}, nil
}

// sameMethod follows a redirection unless it would turn a post into a question,
// whose answer would pass for that to the post.
func sameMethod(req *http.Request, via []*http.Request) error {
	if len(via) == 10 {
		return errors.New("stopped after 10 redirections")
	}
	if req.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	return nil
}

// parseURL reads a collector's URL, such as http://127.0.0.1:4040. The scheme
// may be missing, and the path of the API may be there.
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
		return nil, errors.New("leave out what follows the path: flags say what to ask for")
	}
	if err := address.CheckServer(base.Host); err != nil {
		return nil, err
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/api/report")
	return base, nil
}

// Request prepares a request to the reports of the collector.
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

// Ask returns the collector's answer to a question, and what is not in it: what
// could not be asked, by name, or nothing.
func (r *Client) Ask(ctx context.Context, query url.Values) (answer *report.Report, missing string, err error) {
	req, err := r.Request(ctx, http.MethodGet, query, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "application/msgpack")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := r.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", r.Refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, "", err
	}
	if len(body) > maxAnswer {
		return nil, "", fmt.Errorf("the answer is larger than %s: ask for less time", human.Bytes(maxAnswer))
	}
	answer, err = wire.DecodeMsgpack(body)
	return answer, terminal.Clean(resp.Header.Get("Timeblob-Missing")), err
}

// RefusalError is an answer that is not 200: its status, and the first line of
// its body.
type RefusalError struct {
	status int
	text   string
	advice string // what to do; empty for nothing
	final  bool   // whatever the status
}

func (e *RefusalError) Error() string {
	if e.advice == "" {
		return e.text
	}
	return e.text + " (" + e.advice + ")"
}

// ToAll tells whether any other request would be refused as well.
func (e *RefusalError) ToAll() bool {
	return e.final || slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed}, e.status)
}

func (r *Client) Refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	e := &RefusalError{status: resp.StatusCode, text: resp.Status, advice: r.advice(resp)}
	if line != "" {
		e.text += ": " + terminal.Clean(line)
	}
	if strings.HasPrefix(line, plainToTLS) {
		e.advice, e.final = "give https:// in the URL", true
	}
	return e
}

// advice says what to do about a refusal.
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
		return "was sent the tenant in the header " + r.header + ": --tenant-header must name the one that it reads"
	case status == http.StatusForbidden && r.token != "" && r.tenant != "":
		return "leave --tenant out: the token says it"
	case status == http.StatusForbidden:
		return "a collector forbids only what a token does not allow, so ask who runs what stands before it; it may want " +
			"http://user:password@ in the URL"
	case status == http.StatusNotFound:
		return "no collector answers at " + r.base.Redacted() + ": check the URL's port and path"
	case status == http.StatusMethodNotAllowed:
		return "a query service takes no reports: give the URL of a collector"
	}
	return ""
}
