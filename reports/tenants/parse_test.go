package tenants_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/timeblob/timeblob/reports/tenants"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hashed returns the notation of a token's sum.
func hashed(token string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(token))) }

func mustParse(t testing.TB, text string) *tenants.Table {
	t.Helper()
	table, err := tenants.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestParse(t *testing.T) {
	t.Parallel()
	table := mustParse(t, "\ufeff# all of it\r\n\n  \t\n"+
		"acme token=first rate=0.5 pending=64MiB token="+hashed("second")+" size=1.5MB inflated=4096 # why\r\n"+
		"a.b-c_D9\ttoken=se#cond=\n"+
		`"" token=single rate=1e9`+"\n"+
		"limits rate=7 # token=comment\n"+
		"* token=peer token="+hashed("other")+"\n"+
		"#acme token=gone")
	for token, want := range map[string]tenants.Caller{
		"first": {Tenant: "acme"}, "second": {Tenant: "acme"}, "se#cond=": {Tenant: "a.b-c_D9"}, "single": {},
		"peer": {Peer: true}, "other": {Peer: true},
	} {
		if got, ok := table.Caller(token); !ok || got != want {
			t.Errorf("token %s is of %+v, %v; want %+v", token, got, ok, want)
		}
	}
	for _, token := range []string{"", "First", "first ", "comment", "gone", "acme", "*", hashed("second"), hashed("second")[7:]} {
		if got, ok := table.Caller(token); ok {
			t.Errorf("token %q is of %+v", token, got)
		}
	}
	for tenant, want := range map[string]tenants.Limits{
		"acme": {Rate: 0.5, Pending: 64 << 20, Size: 1_500_000, Inflated: 4096}, "": {Rate: 1e9}, "limits": {Rate: 7},
		"a.b-c_D9": {}, "*": {}, "nobody": {},
	} {
		if got := table.Limits(tenant); got != want {
			t.Errorf("limits of %q: %+v, want %+v", tenant, got, want)
		}
	}
	if !table.Secured() {
		t.Error("not secured")
	}
}

func TestTablesWithoutTokens(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]*tenants.Table{"none": nil, "empty": mustParse(t, ""),
		"limits": mustParse(t, "a rate=1\nb size=1")} {
		if _, ok := table.Caller(""); ok || table.Secured() {
			t.Errorf("%s: takes tokens", name)
		}
		if got := table.Limits("x"); got != (tenants.Limits{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// secret is in broken files, at places where a token may be by mistake.
const secret = "s3cr3ts3cr3t"

// broken are invalid files, with the expected line and reason.
var broken = map[string]struct {
	text   string
	line   int
	reason string
}{
	"no name":            {"token=" + secret, 1, "a tenant's id comes first"},
	"token for a name":   {secret + "+/== acme", 1, "a tenant's id comes first"},
	"hostile name":       {"\n\n> token=" + secret, 3, "a tenant's id comes first"},
	"long name":          {strings.Repeat("a", 65) + " token=" + secret, 1, "a tenant's id comes first"},
	"foreign name":       {"ünicode token=" + secret, 1, "a tenant's id comes first"},
	"nothing said":       {"a rate=1\nb # token=" + secret, 2, "has nothing after the name: add token="},
	"token alone":        {"a rate=1 " + secret, 1, "field 2 after the name: is not one of token=, basic=, rate="},
	"padded token alone": {"a " + secret + "==", 1, "field 1 after the name: is not one of"},
	"wrong field":        {"a tokens=" + secret, 1, "is not one of"},
	"wrong case":         {"a Token=" + secret, 1, "write token in lower case"},
	"wrong case of rate": {"a RATE=1", 1, "write rate in lower case"},
	"no field at all":    {"a T=" + secret, 1, "is not one of"},
	"sum in capitals":    {"a token=SHA256:" + hashed(secret)[7:], 1, "write the sum of a token as sha256:HEX"},
	"sum with a hyphen":  {"a token=Sha-256:" + hashed(secret)[7:], 1, "write the sum of a token as sha256:HEX"},
	"sum after =":        {"a token=sha256=" + hashed(secret)[7:], 1, "write the sum of a token as sha256:HEX"},
	"another sum":        {"a token=sha512:" + hashed(secret)[7:], 1, "other hashes are not supported"},
	"no token":           {"a token=", 1, "a token is 1 to 512 visible ASCII characters"},
	"quoted token":       {`a token="` + secret + `"`, 1, "other than quotes and commas"},
	"list of tokens":     {"a token=" + secret + "," + secret, 1, "other than quotes and commas"},
	"foreign token":      {"a token=ü" + secret, 1, "visible ASCII"},
	"control in token":   {"a token=" + secret + "\x00", 1, "visible ASCII"},
	"long token":         {"a token=" + strings.Repeat(secret, 50), 1, "1 to 512"},
	"short sum":          {"a token=sha256:" + hashed(secret)[9:], 1, "sha256: needs 64 hex digits"},
	"no sum":             {"a token=sha256:" + secret, 1, "sha256: needs 64 hex digits"},
	"token twice":        {"a token=" + secret + "\nb token=" + secret, 2, "is on line 1 already"},
	"sum twice":          {"a token=" + secret + " token=" + hashed(secret), 1, "is on line 1 already"},
	"token of a peer":    {"a token=" + secret + "\n\n* token=" + secret, 3, "is on line 1 already"},
	"tenant twice":       {"a rate=1\n#\na token=" + secret, 3, "the name is on line 1 already"},
	"peers twice":        {"* token=x\n* token=" + secret, 2, "the name is on line 1 already"},
	"limit of peers":     {"* rate=1 token=" + secret, 1, "peers have no limits"},
	"no rate":            {"a rate=", 1, "rate must be a number"},
	"rate of nothing":    {"a rate=0", 1, "above 0"},
	"negative rate":      {"a rate=-1", 1, "above 0"},
	"rate of no number":  {"a rate=" + secret, 1, "field 1 after the name: rate must be"},
	"rate NaN":           {"a rate=NaN", 1, "rate must be"},
	"endless rate":       {"a rate=Inf", 1, "rate must be"},
	"rate too high":      {"a rate=1e10", 1, "rate must be"},
	"rate twice":         {"a rate=1 rate=1", 1, "field 2 after the name: rate is given twice"},
	"no size":            {"a size=0", 1, "size must be a number of bytes above 0"},
	"size of no number":  {"a size=" + secret, 1, "size must be"},
	"wrong unit":         {"a pending=64mib", 1, "pending must be"},
	"negative":           {"a inflated=-1", 1, "inflated must be"},
	"size twice":         {"a size=1 token=x size=1", 1, "field 3 after the name: size is given twice"},
	"long line":          {"a rate=1\n" + strings.Repeat("b", 1<<16) + secret, 2, "longer than 65536 bytes"},
	"large":              {strings.Repeat("# "+secret+strings.Repeat("x", 1000)+"\n", 70_000), 66_118, "larger than"},
}

// TestParseRefuses checks that the error has the line and the reason, but nothing of the file.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tenants.Parse(strings.NewReader(c.text))
			e, ok := errors.AsType[*tenants.SyntaxError](err)
			if !ok || e.Line != c.line || !strings.Contains(e.Reason, c.reason) || !strings.Contains(e.Error(), fmt.Sprintf("line %d: ", c.line)) {
				t.Errorf("got %v, want line %d: …%s…", err, c.line, c.reason)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("says %q", err)
			}
		})
	}
}

// failingReader fails after one line.
type failingReader struct{ line string }

var errBroken = errors.New("broken on purpose")

func (r *failingReader) Read(p []byte) (int, error) {
	n := copy(p, r.line)
	if r.line = r.line[n:]; n == 0 {
		return 0, errBroken
	}
	return n, nil
}

func TestParseFails(t *testing.T) {
	t.Parallel()
	if _, err := tenants.Parse(&failingReader{line: "a rate=1\n"}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("acme token=first rate=0.5 pending=64MiB token=" + hashed("second") + "\n* token=x # y\n\"\" size=1")
	f.Add("a token=sha256:zz")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := tenants.Parse(strings.NewReader(text))
		if e, ok := errors.AsType[*tenants.SyntaxError](err); err != nil && (!ok || e.Line < 1 || e.Line > 1+strings.Count(text, "\n")) {
			t.Errorf("%q: %v", text, err)
		}
		if _, ok := table.Caller(""); ok {
			t.Errorf("%q: the empty token is taken", text)
		}
	})
}
