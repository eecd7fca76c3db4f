package human

import (
	"testing"
	"time"
)

func TestHuman(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 61_440: "60.0 KiB", 1<<20 - 1: "1.0 MiB",
		1 << 30: "1.0 GiB", 1<<63 - 1: "8.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567", -1000: "-1\u202f000", -100: "-100"} {
		if got := Count(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 s", time.Microsecond: "0 s", 999 * time.Millisecond: "999 ms", 59 * time.Second: "59 s", time.Minute: "1 min",
		61 * time.Second: "1 min 1 s", time.Hour + 59*time.Second: "1 h", 25 * time.Hour: "1 d 1 h", 400 * 24 * time.Hour: "400 d"} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{"-": {}, "1970-01-01T00:00:00.5Z": time.Unix(0, 5e8), "1970-01-01T00:00:01Z": time.Unix(1, 0)} {
		if got := Time(at); got != want {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
}
