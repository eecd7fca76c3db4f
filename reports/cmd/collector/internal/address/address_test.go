package address_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/address"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		check func(string) error
		text  string
		want  string // a part of the error; empty for none
	}{
		{address.CheckServer, "h", ""},
		{address.CheckServer, "h:1", ""},
		{address.CheckServer, "a_b.example.com:65535", ""},
		{address.CheckServer, "[::1]", ""},
		{address.CheckServer, "[fe80::1%eth0]:80", ""},
		{address.CheckServer, "", "the host must be"},
		{address.CheckServer, ":80", "the host must be"},
		{address.CheckServer, "h:0", "1 to 65535"},
		{address.CheckServer, "h:65536", "1 to 65535"},
		{address.CheckServer, "h:99999", "1 to 65535"},
		{address.CheckServer, "h:-1", "1 to 65535"},
		{address.CheckServer, "h:+1", "1 to 65535"},
		{address.CheckServer, "h:http", "1 to 65535"},
		{address.CheckServer, "h:", "1 to 65535"},
		{address.CheckServer, "::1", "in brackets"},
		{address.CheckServer, "fe80::1:80", "in brackets"},
		{address.CheckServer, "[::1", "the host must be"},
		{address.CheckServer, "a b", "the host must be"},
		{address.CheckServer, "h/x", "the host must be"},
		{address.CheckServer, "u@h", "the host must be"},
		{address.CheckName, "h", ""},
		{address.CheckName, "h:1", "no port"},
		{address.CheckListen, ":0", ""},
		{address.CheckListen, "127.0.0.1:4040", ""},
		{address.CheckListen, "localhost:65535", ""},
		{address.CheckListen, "[::]:80", ""},
		{address.CheckListen, "[fe80::1%eth0]:80", ""},
		{address.CheckListen, "4040", "host:port"},
		{address.CheckListen, "", "host:port"},
		{address.CheckListen, "::1:80", "in brackets"},
		{address.CheckListen, "::1", "in brackets"},
		{address.CheckListen, "h:", "0 to 65535"},
		{address.CheckListen, "h:65536", "0 to 65535"},
		{address.CheckListen, "h:-1", "0 to 65535"},
		{address.CheckListen, "http://h:80", "host:port"},
		{address.CheckListen, "a b:80", "the host must be"},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			err := c.check(c.text)
			if said := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(said, c.want) {
				t.Errorf("%q: %v, want %q", c.text, err, c.want)
			}
			if err != nil && c.text != "" && strings.Contains(err.Error(), c.text+" ") {
				t.Errorf("%q is repeated: %v", c.text, err)
			}
		})
	}
}
