package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
	"github.com/timeblob/timeblob/reports/internal/goldentest"
)

// tenantsFile writes a tenants file and returns its path.
func tenantsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants")
	rewrite(t, path, text)
	return path
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// become waits until a condition holds, for at most a minute.
func become(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// metricsOf returns a collector's metrics.
func metricsOf(t *testing.T, s *served) string {
	t.Helper()
	resp, err := http.Get(s.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServeWithTokens pushes and asks with right and wrong tokens, while the file changes.
func TestServeWithTokens(t *testing.T) {
	t.Parallel()
	file := tenantsFile(t, "acme token=acme-s3cret\n* token=peer-s3cret\n")
	s := serveWithin(t, append(embedded(t), "--tenants", file, "--tenant-header", remote.TenantHeader)...)
	sent := goldentest.Files(t, "hosts/*/*")[0]
	want := []byte(must(t, "inspect", "--json", "--upgrade", sent))
	ask := []string{"query", "--json", "--from", s.url, "--at", "now"}
	for name, c := range map[string]struct {
		args []string
		env  string // the token
		code int
		says string
	}{
		"no token":       {[]string{"--tenant", "acme"}, "", 1, "401 Unauthorized: no token: send header Authorization with Bearer and the tenant's token (give --token, or set COLLECTOR_TOKEN)"},
		"wrong token":    {nil, "wrong-s3cret", 1, "401 Unauthorized: the token is of no tenant here (check --token or COLLECTOR_TOKEN"},
		"another tenant": {[]string{"--tenant", "other"}, "acme-s3cret", 1, "403 Forbidden: header X-Scope-OrgID names another tenant than the token's: leave it out (leave --tenant out: the token decides the tenant)"},
		"peer alone":     {nil, "peer-s3cret", 1, "401 Unauthorized: no tenant: send header X-Scope-OrgID"},
		"broken token":   {nil, "x\ns3cret", 2, "--token or COLLECTOR_TOKEN: a token must be printable ASCII without spaces"},
	} {
		for _, args := range [][]string{ask, {"push", "--patience", "1ms", "--to", s.url, sent}} {
			r := call{args: append(args, c.args...), env: map[string]string{"COLLECTOR_TOKEN": c.env}}.run(t.Context())
			if r.code != c.code || !strings.Contains(r.stderr, c.says) || strings.Contains(r.stderr, "s3cret") || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("%s, %s: exit %d: %s", name, args[0], r.code, r.stderr)
			}
		}
	}
	must(t, "push", "--to", s.url, "--token", "acme-s3cret", sent)
	for _, c := range []call{
		{args: append(ask, "--token", "acme-s3cret")},
		{args: append(ask, "--tenant", "acme"), env: map[string]string{"COLLECTOR_TOKEN": " acme-s3cret\n"}},
		{args: append(ask, "--tenant", "acme"), env: map[string]string{"COLLECTOR_TOKEN": "peer-s3cret"}},
	} {
		r := c.run(t.Context())
		if r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		goldentest.Equal(t, []byte(r.stdout), want, anyID)
	}
	rewrite(t, file, "acme token=new-s3cret\n")
	become(t, "the new token", func() bool { return collect(t, append(ask, "--token", "new-s3cret")...).code == 0 })
	if r := collect(t, append(ask, "--token", "acme-s3cret")...); r.code != 1 || !strings.Contains(r.stderr, "401") {
		t.Errorf("the old token: exit %d: %s", r.code, r.stderr)
	}
	rewrite(t, file, "# two\nacme new-s3cret\n")
	become(t, "the broken file", func() bool { return strings.Contains(metricsOf(t, s), "scope_tenants_file_good 0\n") })
	must(t, append(ask, "--token", "new-s3cret")...)
	if code := s.stop(); code != 0 || strings.Contains(s.said(), "s3cret") || strings.Count(s.said(), "err=\"line 2: field 1 after the name: is not one of token=") != 1 {
		t.Errorf("exit %d: %s", code, s.said())
	}
}

// TestServeKeepsRates checks that a tenant that posts too often gets a Retry-After, obeys it, and is counted.
// Other tenants have the rate of the flag.
func TestServeKeepsRates(t *testing.T) {
	t.Parallel()
	s := serveWithin(t, append(embedded(t), "--tenant-header", remote.TenantHeader, "--tenants", tenantsFile(t, "slow rate=0.5 size=1GB"), "--tenant-rate", "0")...)
	dir := t.TempDir()
	for i := range 2 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.json", i)), sample("one", i))
	}
	for _, tenant := range []string{"slow", "other"} {
		start := time.Now()
		said := must(t, "push", "--parallel", "1", "--to", s.url, "--tenant", tenant, dir)
		if took := time.Since(start); !strings.HasPrefix(said, "pushed 2 reports") || tenant == "slow" && took < time.Second {
			t.Errorf("%s: said %q after %v", tenant, said, took)
		}
	}
	text := metricsOf(t, s)
	if !strings.Contains(text, "\nscope_reports_refused_total{reason=\"rate\",user=\"slow\"} 1\n") || strings.Contains(text, `refused_total{reason="rate",user="other"}`) {
		t.Errorf("metrics: %s", text)
	}
}

// TestServeKeepsTheNumberOfTenants checks that a new tenant above --max-tenants is refused and
// counted, that the others are served, and that an idle tenant makes room.
func TestServeKeepsTheNumberOfTenants(t *testing.T) {
	t.Parallel()
	s := serveWithin(t, append(embedded(t), "--tenant-header", remote.TenantHeader, "--max-tenants", "1", "--tick", "100ms", "--window", "200ms")...)
	path := write(t, filepath.Join(t.TempDir(), "1.json"), sample("one", 1))
	push := func(tenant, patience string) result {
		return collect(t, "push", "--patience", patience, "--to", s.url, "--tenant", tenant, path)
	}
	if r := push("known", "10s"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	var refused result
	become(t, "a refusal", func() bool { // the first tenant may be idle already: the second one then is the known one
		for _, tenant := range []string{"known", "new"} {
			if refused = push(tenant, "1ms"); refused.code != 0 {
				return true
			}
		}
		return false
	})
	if !strings.Contains(refused.stderr, "is new, and the collector holds reports of 1 tenant, which is its limit") {
		t.Errorf("exit %d: %s", refused.code, refused.stderr)
	}
	if !strings.Contains(metricsOf(t, s), `scope_reports_refused_total{reason="full",user="`) {
		t.Error("the refusal is not counted")
	}
	if r := push("later", "30s"); r.code != 0 {
		t.Errorf("an idle tenant makes no room: %s", r.stderr)
	}
}

// TestServeKeepsTenantsApart stores reports of tenants whose ids are similar in the embedded store. None sees
// another's.
func TestServeKeepsTenantsApart(t *testing.T) {
	t.Parallel()
	store := embedded(t)
	s := serveWithin(t, append(store, "--tenant-header", remote.TenantHeader)...)
	ids := []string{"a", "A", "a.b", "x", fmt.Sprintf("x-%d", time.Now().Unix()/3600), "x-472222", "x-", "..", "-1", "_", strings.Repeat("a", 64)}
	files := map[string]string{}
	for i, id := range ids {
		files[id] = write(t, filepath.Join(t.TempDir(), "1.json"), sample(fmt.Sprint("host-", i), i+1))
		must(t, "push", "--to", s.url, "--tenant="+id, files[id])
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, s.said())
	}
	for _, id := range ids {
		got := must(t, append([]string{"query", "--json", "--tenant=" + id, "--start", "-1h", "--end", "+1h"}, store...)...)
		goldentest.Equal(t, []byte(got), []byte(must(t, "inspect", "--json", "--upgrade", files[id])), anyID)
	}
}

func TestServeRefusesTenants(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"missing":  {[]string{"--tenants", "no/such"}, 1, "tenants file no/such: no such file or directory"},
		"broken":   {[]string{"--tenants", tenantsFile(t, "\na token=x s3cret")}, 1, "line 2: field 2 after the name: is not one of"},
		"peers":    {[]string{"--tenants", tenantsFile(t, "* token=s3cret")}, 1, "line 1: names peers, which need a tenant header"},
		"rate":     {[]string{"--tenant-rate", "-1"}, 2, "--tenant-rate must be a number"},
		"no rate":  {[]string{"--tenant-rate", "NaN"}, 2, "--tenant-rate must be a number"},
		"endless":  {[]string{"--tenant-rate", "Inf"}, 2, "--tenant-rate must be a number"},
		"no room":  {[]string{"--max-tenants", "0"}, 2, "--max-tenants 0: must be at least 1"},
		"no bytes": {[]string{"--max-tenant-pending", "-1"}, 2, "number of bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			r := collect(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, c.args...)...)
			if r.code != c.code || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") != 1 || strings.Contains(r.stderr, "s3cret") {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
			if _, err := os.Stat(data); err == nil {
				t.Error("a store was made")
			}
		})
	}
}
