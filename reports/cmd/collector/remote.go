package main

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

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// scopeHeader is the request header in which Scope names the tenant.
const scopeHeader = "X-Scope-OrgID"

// maxAnswer bounds what a collector may answer, in bytes.
const maxAnswer = 1 << 30

// remote is a collector that is asked over HTTP.
type remote struct {
	base   *url.URL
	header string // names the tenant
	tenant string
	token  string // empty for none
	client *http.Client
	tls    *tls.Config // of the client; nil for the default
}

// remoteFlags are the flags of subcommands that talk to a collector.
type remoteFlags struct {
	tenant  *string
	header  string
	token   string
	timeout time.Duration
	tls     *clientTLS
}

func (f *flags) remote(tenant *string) *remoteFlags {
	r := &remoteFlags{tenant: tenant, tls: f.clientTLS("")}
	f.StringVar(&r.header, "tenant-header", scopeHeader, "the `NAME` of the request header that says the tenant")
	f.StringVar(&r.token, "token", "", "the `TOKEN` that a collector with tokens wants; better in "+variable("token")+
		", since others see a process's arguments")
	f.DurationVar(&r.timeout, "timeout", 30*time.Second, "wait at most a `DURATION` for each answer")
	f.must(func() error { return positive("timeout", r.timeout) })
	return r
}

// at returns the collector at a URL.
func (f *remoteFlags) at(address string, connections int) (*remote, error) {
	base, err := parseBase(address)
	if err != nil {
		return nil, usagef("%q: %v", address, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = connections
	transport.DisableCompression = true
	secure, err := f.tls.config()
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = secure.Clone()
	return &remote{base: base, header: f.header, tenant: *f.tenant, token: strings.TrimSpace(f.token), tls: secure,
		client: &http.Client{Transport: transport, Timeout: f.timeout, CheckRedirect: sameMethod}}, nil
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

// parseBase reads a collector's URL, such as http://127.0.0.1:4040. The scheme
// may be missing, and the path of the API may be there.
func parseBase(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	base, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("give a URL as http://127.0.0.1:4040")
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/api/report")
	base.RawQuery, base.Fragment = "", ""
	return base, nil
}

// request prepares a request to the reports of the collector.
func (r *remote) request(ctx context.Context, method string, query url.Values, body []byte) (*http.Request, error) {
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

// ask returns the collector's answer to a question, and what is not in it: what
// could not be asked, by name, or nothing.
func (r *remote) ask(ctx context.Context, query url.Values) (answer *report.Report, missing string, err error) {
	req, err := r.request(ctx, http.MethodGet, query, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", "application/msgpack")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := r.do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", r.refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, "", err
	}
	if len(body) > maxAnswer {
		return nil, "", fmt.Errorf("the answer is larger than %s: ask for less time", humanBytes(maxAnswer))
	}
	answer, err = wire.DecodeMsgpack(body)
	return answer, clean(resp.Header.Get("Timeblob-Missing")), err
}

// refusalError is an answer that is not 200: its status, and the first line of
// its body.
type refusalError struct {
	status int
	text   string
	advice string // what to do; empty for nothing
	final  bool   // whatever the status
}

func (e *refusalError) Error() string {
	if e.advice == "" {
		return e.text
	}
	return e.text + " (" + e.advice + ")"
}

// toAll tells whether any other request would be refused as well.
func (e *refusalError) toAll() bool {
	return e.final || slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed}, e.status)
}

func (r *remote) refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	e := &refusalError{status: resp.StatusCode, text: resp.Status, advice: r.advice(resp)}
	if line != "" {
		e.text += ": " + clean(line)
	}
	if strings.HasPrefix(line, plainToTLS) {
		e.advice, e.final = "give https:// in the URL", true
	}
	return e
}

// advice says what to do about a refusal.
func (r *remote) advice(resp *http.Response) string {
	status, asked := resp.StatusCode, strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer")
	switch {
	case status == http.StatusUnauthorized && asked && r.token == "":
		return "give --token, or set " + variable("token")
	case status == http.StatusUnauthorized && asked:
		return "check --token or " + variable("token") + ", which the collector's tenants file must hold"
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

// positive refuses durations that are not above zero.
func positive(name string, d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("--%s %v: must be above 0", name, d)
	}
	return nil
}
