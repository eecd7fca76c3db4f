package httpapi

import (
	"bytes"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/internal/browsertest"
)

// views are the ways in which the page is looked at.
var views = map[string]browsertest.View{
	"desktop-light": {Width: 1280, Height: 800},
	"desktop-dark":  {Width: 1280, Height: 800, Dark: true},
	"phone-light":   {Width: 390, Height: 844, Phone: true},
	"phone-dark":    {Width: 390, Height: 844, Phone: true, Dark: true},
}

// TestAdminInChromium looks at the page as a browser without scripts shows it.
// With go test -artifacts the pictures are kept.
func TestAdminInChromium(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	f := operate(t)
	server := httptest.NewServer(f.handler)
	t.Cleanup(server.Close)
	keep, pictures := flag.Lookup("test.artifacts").Value.String() == "true", t.ArtifactDir()
	for name, view := range views {
		for shot, query := range map[string]string{"all": "", "one": "?tenant=acme", "day": "?tenant=acme&hours=24",
			"waiting": "?tenant=stuck&hours=1", "unknown": "?tenant=nobody"} {
			page := browser.Page(view)
			page.Open(server.URL + "/admin/" + query)
			t.Run(name+" "+shot, func(t *testing.T) {
				if keep {
					if err := os.WriteFile(filepath.Join(pictures, shot+"-"+name+".png"), page.Screenshot(true), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				checkLook(t, page, view)
			})
		}
	}
}

// checkLook checks what must be so in every view of the page.
func checkLook(t *testing.T, page *browsertest.Page, view browsertest.View) {
	t.Helper()
	if said := page.Complaints(); len(said) > 0 {
		t.Errorf("the browser complains: %q", said)
	}
	if n := colours(t, page.Screenshot(false)); n < manyColours {
		t.Errorf("a picture of %d colours", n)
	}
	var width int
	page.Eval(`document.documentElement.scrollWidth`, &width)
	if width > view.Width {
		t.Errorf("%d pixels wide, more than the window's %d", width, view.Width)
	}
	var lang string
	page.Eval(`document.documentElement.lang`, &lang)
	if lang != "en" {
		t.Errorf("language %q", lang)
	}
	for what, expression := range map[string]string{
		"bars without a title":         `[...document.querySelectorAll(".bar")].filter(b => !b.querySelector("title")?.textContent).length`,
		"bars that nobody can see":     `[...document.querySelectorAll(".bar rect")].filter(r => r.getBoundingClientRect().height < 1 || r.getBoundingClientRect().width <= 0).length`,
		"meters without a name":        `[...document.querySelectorAll("meter")].filter(m => !m.ariaLabel).length`,
		"fields without a label":       `[...document.querySelectorAll("input")].filter(i => i.labels.length == 0).length`,
		"sections without a heading":   `[...document.querySelectorAll("section")].filter(s => !document.getElementById(s.getAttribute("aria-labelledby"))).length`,
		"ids given twice":              `document.querySelectorAll("[id]").length - new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size`,
		"links without a text":         `[...document.querySelectorAll("a")].filter(a => !a.textContent.trim()).length`,
		"labels of hours that overlap": overlaps,
	} {
		var n int
		page.Eval(expression, &n)
		if n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	var faint []string
	page.Eval(faintTexts, &faint)
	if len(faint) > 0 {
		t.Errorf("hard to read: %q", faint)
	}
}

// overlaps counts the neighbours among the strip's labels that overlap.
const overlaps = `(() => {
	const boxes = [...document.querySelectorAll(".strip text")].map(t => t.getBoundingClientRect()).sort((a, b) => a.left - b.left);
	return boxes.filter((b, i) => i > 0 && b.left < boxes[i-1].right).length;
})()`

// faintTexts lists the texts whose contrast with their background is below 4.5:1. WCAG 2.2, success criterion 1.4.3, demands 4.5:1 for small texts.
const faintTexts = `(() => {
	const parse = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = parse(c).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
		if ((parse(c)[3] ?? 1) > 0) return c; } return "rgb(255, 255, 255)"; };
	return [...document.querySelectorAll("body *")].filter(e => ![...e.children].length && e.textContent.trim() && e.getClientRects().length &&
		!["title", "BUTTON", "INPUT", "METER"].includes(e.tagName)).map(e => {
		const style = getComputedStyle(e), a = light(e instanceof SVGElement ? style.fill : style.color), b = light(behind(e));
		return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent];
	}).filter(([contrast]) => contrast < 4.5).map(([contrast, text]) => contrast.toFixed(2) + " " + text);
})()`

// manyColours is more than the number of colours of an empty page.
const manyColours = 20

// colours counts the colours of a picture, up to manyColours.
func colours(t *testing.T, shot []byte) int {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[color.Color]struct{})
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X && len(seen) < manyColours; x++ {
			seen[picture.At(x, y)] = struct{}{}
		}
	}
	return len(seen)
}

// TestAdminStripInChromium checks that a bar a minute with entries, at its place and
// of its height, in the colours of the legend; and a hostile name is text.
func TestAdminStripInChromium(t *testing.T) {
	t.Parallel()
	f := operate(t)
	f.tick(t, "evil", hosts(hostile))
	server := httptest.NewServer(f.handler)
	t.Cleanup(server.Close)
	page := browsertest.Start(t).Page(views["desktop-light"])
	page.Open(server.URL + "/admin/?tenant=acme")
	var bars []struct {
		Title             string
		Left, Top, Bottom float64 // shares of the strip
		Fills             []string
	}
	page.Eval(`(() => {
		const strip = document.querySelector(".strip").getBoundingClientRect();
		return [...document.querySelectorAll(".bar")].map(b => { const box = b.getBoundingClientRect(); return {
			title: b.querySelector("title").textContent, left: (box.left - strip.left) / strip.width,
			top: box.top - strip.top, bottom: box.bottom - strip.top,
			fills: [...b.querySelectorAll("rect")].map(r => getComputedStyle(r).fill) }; });
	})()`, &bars)
	if len(bars) != 135 {
		t.Fatalf("%d bars, want one for each minute with entries", len(bars))
	}
	near := func(a, b float64) bool { return a-b < 0.002 && b-a < 0.002 }
	for i, minute := range map[int]int{0: 26, 41: 67, 42: 87, 134: 179} { // around the gap
		if b := bars[i]; !near(b.Left, float64(minute)/180) {
			t.Errorf("bar %d (%s) is at %.3f, want minute %d of 180", i, b.Title, b.Left, minute)
		}
	}
	if b := bars[50]; b.Title != "10:39: 20 stored" || b.Top != 8 || b.Bottom != 104 || len(b.Fills) != 1 {
		t.Errorf("a full minute: %+v", b)
	}
	last := bars[134]
	if last.Title != "12:03: 10 stored, 4 of them in the live window" || last.Top != 56 || len(last.Fills) != 2 || last.Fills[0] == last.Fills[1] {
		t.Errorf("the last minute: %+v", last)
	}
	var legend []string
	page.Eval(`[...document.querySelectorAll(".key")].map(k => getComputedStyle(k).backgroundColor)`, &legend)
	if fmt.Sprint(legend[:2]) != fmt.Sprint(last.Fills) {
		t.Errorf("legend %q, bar %q", legend, last.Fills)
	}
	page.Open(server.URL + "/admin/?tenant=evil")
	var text string
	page.Eval(`document.querySelector("main").innerText`, &text)
	if !strings.Contains(text, hostile+";<host>: host:1") {
		t.Errorf("a hostile name: %s", text)
	}
}
