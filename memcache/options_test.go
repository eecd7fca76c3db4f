package memcache_test

import (
	"testing"
	"time"

	"github.com/timeblob/timeblob/memcache"
)

func TestOptionsThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]memcache.Options{
		"negative TTL": {TTL: -1},
		"long TTL":     {TTL: 30*24*time.Hour + 1},
		"item":         {MaxItem: -1},
		"big item":     {MaxItem: 1<<30 + 1},
		"timeout":      {Timeout: -1},
		"cooldown":     {Cooldown: -1},
		"refresh":      {Refresh: -1},
		"batch":        {BatchKeys: -1},
		"parallel":     {Parallel: -1},
		"failures":     {Failures: -1},
	} {
		if tier, err := memcache.Open(t.Context(), memcache.List("192.0.2.1:1"), &opts); err == nil {
			t.Errorf("%s: no error", name)
			_ = tier.Close()
		}
	}
}

// TestTTLIsSentInWholeSeconds checks the expiration in the command that is sent.
func TestTTLIsSentInWholeSeconds(t *testing.T) {
	for ttl, want := range map[time.Duration]string{
		0:                       "set k 0 30 9",
		1:                       "set k 0 1 9",
		time.Second:             "set k 0 1 9",
		1500 * time.Millisecond: "set k 0 2 9",
		30 * 24 * time.Hour:     "set k 0 2592000 9",
	} {
		t.Run(ttl.String(), func(t *testing.T) {
			inBubble(t, memcache.Options{TTL: ttl}, func(t *testing.T, tier *memcache.Tier, f *fake) {
				put(t, tier, "k")
				if commands, _, _ := f.seen(); commands[0] != want {
					t.Errorf("sent %q, want %q", commands[0], want)
				}
			})
		})
	}
}
