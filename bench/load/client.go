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

// client sends requests for all tenants over kept connections.
type client struct {
	url, header string
	web         *http.Client
}

// requestTimeout limits each request.
const requestTimeout = 2 * time.Minute

func newClient(url, header string, connections int) *client {
	return &client{url: url, header: header, web: &http.Client{Timeout: requestTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}}
}

func (c *client) close() { c.web.CloseIdleConnections() }

// statusError is an answer with another status than 200.
type statusError struct {
	status int
	reason string // the first bytes of the answer
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.reason) }

// post posts a report whose body comes in parts.
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

// ask gets a tenant's report and writes its msgpack to w.
func (c *client) ask(ctx context.Context, tenant string, query url.Values, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/api/report?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/msgpack")
	r.Header.Set(c.header, tenant)
	return c.do(r, w)
}

// metrics gets the collector's metrics.
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

// do sends a request and reads the whole answer. An answer with status 200 goes to w.
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
