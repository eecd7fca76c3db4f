package browsertest

import (
	"encoding/json"
	"sync"
	"time"
)

// View is how a page is looked at.
type View struct {
	Width, Height int // CSS pixels
	Phone         bool
	Dark          bool
}

// Page is a tab in which no script of a page runs.
type Page struct {
	browser *Browser
	session string
	loaded  chan struct{} // of length 1: a page is there

	mu         sync.Mutex // guards what follows
	complaints []string
}

// Page opens a tab.
func (b *Browser) Page(v View) *Page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &Page{browser: b, session: attached.SessionID, loaded: make(chan struct{}, 1)}
	b.mu.Lock()
	b.sessions[p.session] = p
	b.mu.Unlock()
	p.call("Page.enable", nil, nil)
	p.call("Log.enable", nil, nil)
	p.call("Runtime.enable", nil, nil)
	p.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	p.See(v)
	return p
}

// See changes how the page is looked at.
func (p *Page) See(v View) {
	p.browser.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride",
		map[string]any{"width": v.Width, "height": v.Height, "deviceScaleFactor": 1, "mobile": v.Phone}, nil)
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	p.call("Emulation.setEmulatedMedia",
		map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Open shows the page at an address, and returns when it is there with all that belongs to it.
func (p *Page) Open(url string) {
	p.browser.t.Helper()
	var result struct{ ErrorText string }
	p.call("Page.navigate", map[string]any{"url": url}, &result)
	if result.ErrorText != "" {
		p.browser.t.Fatalf("open %s: %s", url, result.ErrorText)
	}
	select {
	case <-p.loaded:
	case <-p.browser.gone:
		p.browser.t.Fatalf("open %s: chromium ended", url)
	case <-time.After(answerWithin):
		p.browser.t.Fatalf("open %s: not there after %v", url, answerWithin)
	}
}

// Eval evaluates an expression of JavaScript in the page, which may itself run none, and reads its value
// as JSON into value.
func (p *Page) Eval(expression string, value any) {
	p.browser.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if e := answer.ExceptionDetails; e != nil {
		p.browser.t.Fatalf("%s: %s", expression, e.Exception.Description)
	}
	if err := json.Unmarshal(answer.Result.Value, value); err != nil {
		p.browser.t.Fatalf("%s is %s: %v", expression, answer.Result.Value, err)
	}
}

// Screenshot returns a picture of what is in view, or of the whole page, as a PNG.
func (p *Page) Screenshot(whole bool) []byte {
	p.browser.t.Helper()
	var shot struct{ Data []byte }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &shot)
	return shot.Data
}

// Complaints returns what the browser has complained about so far: what a policy kept it from, what it
// could not load.
func (p *Page) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.complaints...)
}

func (p *Page) call(method string, params, result any) {
	p.browser.t.Helper()
	p.browser.call(p.session, method, params, result)
}

// hear takes an event.
func (p *Page) hear(m message) {
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Log.entryAdded":
		var params struct{ Entry struct{ Text, URL string } }
		if json.Unmarshal(m.Params, &params) == nil {
			p.mu.Lock()
			p.complaints = append(p.complaints, params.Entry.Text+" "+params.Entry.URL)
			p.mu.Unlock()
		}
	}
}
