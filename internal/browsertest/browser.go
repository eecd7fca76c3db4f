// Package browsertest lets a test look at pages with a real Chromium: with scripts of the pages off, at
// any size, in light and in dark.
//
// The browser is Debian's, as scripts/install-servers installs it. Where it is missing the test is
// skipped, or fails when TIMEBLOB_REQUIRE_SERVERS is 1. chromedp speaks to it over a pipe, so that the
// browser opens no port and ends with the test binary.
package browsertest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/timeblob/timeblob/internal/servertest"
)

// answerWithin bounds each step. It is generous, because the machine may be compiling on every core.
const answerWithin = time.Minute

// Browser is a running Chromium, which ends with its test. Its methods fail the test when they cannot do
// what they promise.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts Chromium with a new, empty profile. It reaches no host but this one.
func Start(t testing.TB) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(servertest.Program(t, "chromium")),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-crash-reporter", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(end) // waits for the browser's end
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &Browser{t, ctx}
}

// View is how a page is looked at.
type View struct {
	Width, Height int // CSS pixels
	Phone         bool
	Dark          bool
}

// Page is a tab in which no script of a page runs.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex // guards complaints
	complaints []string
}

// Page opens a tab.
func (b *Browser) Page(v View) *Page {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.t.Cleanup(stop)
	p := &Page{t: b.t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		b.t.Fatalf("open a tab: %v", err)
	}
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	p.See(v)
	return p
}

// See changes how the page is looked at.
func (p *Page) See(v View) {
	p.t.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(v.Width), Height: int64(v.Height), DeviceScaleFactor: 1, Mobile: v.Phone})
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// Open shows the page at an address, and returns when it is there with everything that belongs to it.
func (p *Page) Open(url string) {
	p.t.Helper()
	run(p, "open "+url, chromedp.Navigate(url))
}

// Eval evaluates an expression of JavaScript in the page, which may itself run none, and reads its value
// as JSON into value.
func (p *Page) Eval(expression string, value any) {
	p.t.Helper()
	text := run(p, expression, chromedp.Evaluate[[]byte](expression))
	if err := json.Unmarshal(text, value); err != nil {
		p.t.Fatalf("%s is %s: %v", expression, text, err)
	}
}

// Screenshot returns a picture of what is in view, or of the whole page, as a PNG.
func (p *Page) Screenshot(whole bool) []byte {
	p.t.Helper()
	return call(p, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &whole}).Data
}

// Complaints returns what the browser has complained about so far: what a policy kept it from, what it
// could not load.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

// hear takes an event.
func (p *Page) hear(event any) {
	if e, ok := event.(*log.EventEntryAdded); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.complaints = append(p.complaints, e.Entry.Text+" "+e.Entry.URL)
	}
}

// call calls a command of the protocol in the tab.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	return run(p, command.Method, func(ctx context.Context, t *chromedp.Target) (R, error) {
		return cdp.Call(ctx, t, command, params)
	})
}

// run runs an action in the tab.
func run[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, answerWithin)
	defer cancel()
	result, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("chromium: %s: %v", what, err)
	}
	return result
}
