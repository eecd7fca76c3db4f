package remote

import (
	"testing"
)

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:4040":                 "http://127.0.0.1:4040",
		"http://h:1/":                    "http://h:1",
		"https://h/scope/api/report":     "https://h/scope",
		"HTTPS://h/scope/":               "https://h/scope",
		"https://h/scope/api/report?x=1": "",
		"https://h/scope/api/report#y":   "",
		"http://h:0":                     "",
		"http://h:99999":                 "",
		"http://:4040":                   "",
		"http://u:p@h/x/":                "http://u:p@h/x",
		"localhost":                      "http://localhost",
		"ftp://h":                        "",
		"http://":                        "",
		"":                               "",
		"http://h:port":                  "",
		"http://[::1]:4040/api/report":   "http://[::1]:4040",
	} {
		base, err := parseURL(address)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken for %v", address, base)
			}
			continue
		}
		if err != nil || base.String() != want {
			t.Errorf("%q is %v, %v, want %s", address, base, err, want)
		}
	}
}
