package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/internal/servertest"
)

// TestKills kills real collectors on each store.
func TestKills(t *testing.T) {
	t.Parallel()
	for store, kills := range map[string]string{storeDirectory: "5", storeAWS: "3"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			if store == storeAWS {
				servertest.NeedAWS(t)
			}
			code, stdout, stderr := driveBuilt(t, "-json", "-store", store, "-kills", kills, "-tenants", "4")
			if code != 0 {
				t.Fatalf("exit %d: %s%s", code, stdout, stderr)
			}
			var k Kills
			if err := json.Unmarshal([]byte(stdout), &k); err != nil {
				t.Fatal(err)
			}
			if k.Acknowledged == 0 || k.Stored < k.Acknowledged || k.Stored > k.Acknowledged+k.Unanswered+k.Refused {
				t.Errorf("got %+v", k)
			}
		})
	}
}

func TestVerdictOfKills(t *testing.T) {
	t.Parallel()
	for want, k := range map[string]Kills{
		"1 of 2 acknowledged reports are lost": {Acknowledged: 2, Stored: 1, Lost: 1},
		"1 are stored twice":                   {Acknowledged: 2, Stored: 2, Twice: 1},
		"0 of 0 acknowledged":                  {},
	} {
		if err := k.verdict(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", k, err, want)
		}
	}
	if err := (&Kills{Acknowledged: 2, Stored: 3}).verdict(); err != nil {
		t.Error(err)
	}
}

// TestOutage sums up samples of an outage of 20 s.
func TestOutage(t *testing.T) {
	t.Parallel()
	at := func(second int, rss int64, oldest float64) Sample {
		return Sample{At: time.Duration(second) * time.Second, RSS: rss, Oldest: oldest}
	}
	begin := []Sample{at(0, 100, 0), at(5, 110, 3), at(15, 115, 5), at(25, 130, 15), at(31, 125, 21)}
	for name, c := range map[string]struct {
		after []Sample
		want  string
		most  int64
	}{
		"drained in time": {[]Sample{at(35, 140, 5), at(40, 200, 3)}, "", 140},
		"drained late":    {[]Sample{at(45, 140, 30), at(55, 120, 2)}, "took 25s, longer than the outage", 140},
		"not drained":     {[]Sample{at(45, 140, 30)}, "still wait", 140},
	} {
		o := &Outage{Begun: 10 * time.Second, Ended: 30 * time.Second}
		o.sum(append(begin[:len(begin):len(begin)], c.after...))
		if o.Before != 110 || o.Most != c.most {
			t.Errorf("%s: memory %d, then %d", name, o.Before, o.Most)
		}
		if err := o.verdict(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := &Outage{Begun: 10 * time.Second, Ended: 11 * time.Second}
	short.sum(begin[:3])
	if err := short.verdict(); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Error(err)
	}
}

// TestOutageRates compares the values stored a second before an outage and after it.
func TestOutageRates(t *testing.T) {
	t.Parallel()
	at := func(second int, rss, stored int64, cpu, oldest float64, waiting int) Sample {
		return Sample{At: time.Duration(second) * time.Second, RSS: rss, Stored: stored, CPUSeconds: cpu, Oldest: oldest, Waiting: waiting}
	}
	o := &Outage{Begun: 20 * time.Second, Ended: 40 * time.Second}
	o.sum([]Sample{at(0, 10, 0, 0, 0, 0), at(12, 100, 100, 1, 3, 4), at(18, 110, 160, 4, 3, 5), at(39, 115, 165, 5, 22, 200),
		at(44, 112, 465, 9, 20, 120), at(49, 112, 665, 10, 3, 5), at(60, 300, 700, 11, 3, 5)})
	want := Outage{Begun: o.Begun, Ended: o.Ended, Drained: 9 * time.Second, Steady: 10 * time.Second, Grew: o.Grew, Before: 110, Most: 115,
		Oldest: 22, Waited: 200, Rate: Rate{Stored: 10, CPU: 0.5}, Drain: Rate{Stored: 50, CPU: 0.5}}
	if *o != want || o.Grew < 0.09 || o.Grew > 0.11 {
		t.Errorf("got %+v, want %+v", *o, want)
	}
}
