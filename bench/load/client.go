package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// client talks to a collector for all tenants, over connections that are kept.
type client struct {
	url, header string
	web         *http.Client
}

// requestTimeout is how long an answer is waited for.
const requestTimeout = 2 * time.Minute

func newClient(url, header string, connections int) *client {
	return &client{url: url, header: header, web: &http.Client{Timeout: requestTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}}
}

func (c *client) close() { c.web.CloseIdleConnections() }

// statusError says that a request was answered, but not with 200.
type statusError struct {
	status int
	reason string // the answer's first bytes
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.reason) }

// post posts a report that comes in parts.
func (c *client) post(ctx context.Context, tenant string, parts ...[]byte) error {
	readers, length := make([]io.Reader, len(parts)), 0
	for i, p := range parts {
		readers[i] = bytes.NewReader(p)
		length += len(p)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/api/report", io.MultiReader(readers...))
	if err != nil {
		return err
	}
	r.ContentLength = int64(length)
	r.Header.Set("Content-Type", "application/msgpack")
	r.Header.Set("Content-Encoding", "gzip")
	r.Header.Set(c.header, tenant)
	return c.do(r, io.Discard)
}

// ask asks for a tenant's report, and writes the msgpack of it to w.
func (c *client) ask(ctx context.Context, tenant string, query url.Values, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/report?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/msgpack")
	r.Header.Set(c.header, tenant)
	return c.do(r, w)
}

// metrics asks for what the collector says of itself.
func (c *client) metrics(ctx context.Context) (metrics, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := c.do(r, &text); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return readMetrics(&text)
}

// do sends a request and reads the answer to its end, to w when it is 200.
func (c *client) do(r *http.Request, w io.Writer) error {
	resp, err := c.web.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		_, err = io.Copy(w, resp.Body)
		return err
	}
	reason, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	_, _ = io.Copy(io.Discard, resp.Body)
	return &statusError{resp.StatusCode, strings.TrimSpace(string(reason))}
}
