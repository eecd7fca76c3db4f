package deploy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/index"
)

// TestLifecycleRules checks that one rule takes each key, so that no rule for
// reports takes roll-ups along: of several rules the shortest wins.
func TestLifecycleRules(t *testing.T) {
	t.Parallel()
	var file struct {
		Rules []struct {
			ID, Status string
			Filter     struct{ Prefix string }
			Expiration struct{ Days int }
		}
	}
	text, err := os.ReadFile("aws/lifecycle.json")
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	check := func(key string, days int) {
		t.Helper()
		n := 0
		for _, rule := range file.Rules {
			if strings.HasPrefix(key, rule.Filter.Prefix) && rule.Status == "Enabled" {
				if n++; rule.Expiration.Days != days {
					t.Errorf("%s takes %s after %d days, want %d", rule.ID, key, rule.Expiration.Days, days)
				}
			}
		}
		if n != 1 {
			t.Errorf("%d rules take %s, want one", n, key)
		}
	}
	for hour := range int64(100) {
		row := index.Row{Tenant: "acme", Hour: 490_000 + hour}
		check(row.BlobKey(row.Start()), 9)
		for level, days := range map[time.Duration]int{time.Minute: 31, time.Hour: 401, 24 * time.Hour: 401} {
			check(index.RollUpKey("acme", level, row.Start(), "CLAIM"), days)
		}
	}
}
