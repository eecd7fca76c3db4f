package browsertest_test

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/internal/browsertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPage checks that a page is seen as it was asked for, its scripts do not run, and what it may not load
// is told.
func TestPage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "img-src 'none'")
		w.Header().Set("Content-Type", "text/html")
		picture := ""
		if r.URL.Path == "/picture" {
			picture = `<img src="/x.png" alt=""><div style="height: 1000px"></div>`
		}
		fmt.Fprintf(w, `<!DOCTYPE html><html lang="en"><title>t</title><style>body { background: #ff0000 }
			@media (prefers-color-scheme: dark) { body { background: #0000ff } }</style>
			<p id="said">as it came</p><script>document.getElementById("said").textContent = "changed"</script>%s`, picture)
	}))
	defer server.Close()
	page := browsertest.Start(t).Page(browsertest.View{Width: 400, Height: 300})
	page.Open(server.URL)
	var said string
	page.Eval(`document.getElementById("said").textContent`, &said)
	if said != "as it came" {
		t.Errorf("the paragraph says %q", said)
	}
	for dark, want := range map[bool]color.RGBA{false: {R: 255, A: 255}, true: {B: 255, A: 255}} {
		page.See(browsertest.View{Width: 200, Height: 100, Dark: dark})
		picture, err := png.Decode(bytes.NewReader(page.Screenshot(false)))
		if err != nil {
			t.Fatal(err)
		}
		if b := picture.Bounds(); b.Dx() != 200 || b.Dy() != 100 {
			t.Errorf("a picture of %v", b)
		}
		if got := color.RGBAModel.Convert(picture.At(5, 90)); got != want {
			t.Errorf("dark %v: %v, want %v", dark, got, want)
		}
	}
	if said := page.Complaints(); len(said) != 0 {
		t.Errorf("complaints: %q", said)
	}
	page.Open(server.URL + "/picture")
	if said := page.Complaints(); len(said) != 1 || !strings.Contains(said[0], "Content Security Policy") {
		t.Errorf("complaints: %q", said)
	}
	if whole, err := png.DecodeConfig(bytes.NewReader(page.Screenshot(true))); err != nil || whole.Height < 1000 {
		t.Errorf("the whole page: %d pixels high, %v", whole.Height, err)
	}
}
