package reports

import (
	"errors"
	"testing"
	"time"
)

// TestClocksApart holds: a collector whose clock is far from the querier's is
// named in an answer about now, which its reports are not in.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	for name, apart := range map[string]time.Duration{"ahead": time.Minute, "behind": -time.Minute, "little": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 2, nil)
			c.collectors[1].apart.Store(int64(apart))
			c.add(t, 0, "a", hosts("h0"))
			c.add(t, 1, "a", hosts("h1"))
			a, err := c.Report(t.Context(), "a", noon)
			if name == "little" {
				c.want(t, a, err, nil, hosts("h0"), hosts("h1"))
				return
			}
			c.want(t, a, err, []string{c.collectors[1].name()}, hosts("h0"))
			c.collectors[0].apart.Store(int64(apart))
			var none *NoCollectorError
			if _, err := c.Report(t.Context(), "a", noon); !errors.As(err, &none) || len(none.Errs) != 2 {
				t.Errorf("all clocks apart: %v", err)
			}
		})
	}
}
