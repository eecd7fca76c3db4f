package httpapi

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
)

// params is the query parameters of a request, each given at most once.
type params url.Values

// parseParams reads the query of a URL. None of the named parameters may be given
// twice.
func parseParams(query string, names ...string) (params, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "query of the URL: %v", err)
	}
	for _, name := range names {
		if len(q[name]) > 1 {
			return nil, refuse(http.StatusBadRequest, "parameter %s came %d times: send it once", name, len(q[name]))
		}
	}
	return params(q), nil
}

// rangeParams are the parameters of a question.
var rangeParams = []string{"timestamp", "window", "start", "end", "partial", "round"}

func (p params) get(name string) string { return url.Values(p).Get(name) }

func (p params) has(name string) bool { return url.Values(p).Has(name) }

// question reads a question, of a range that is not too long.
func (h *Handler) question(p params) (reports.Question, error) {
	stored := h.reader.Stored()
	q, err := p.question(stored.Now(), stored.Window())
	if err != nil {
		return q, err
	}
	length := q.To.Sub(q.From)
	if q.Open {
		length -= stored.Window()
	}
	if length > h.opts.MaxRange {
		return q, refuse(http.StatusBadRequest, "the range is longer than %s: ask for a shorter one", human.Duration(h.opts.MaxRange))
	}
	return q, nil
}

// question reads a question; window is the collector's. A question without an end
// ends a window from now, so that it covers a tick that ends meanwhile.
func (p params) question(now time.Time, window time.Duration) (q reports.Question, err error) {
	if p.get("start") != "" || p.get("end") != "" {
		return p.between(now.Add(window))
	}
	at, length := now, window
	if q.Open = p.get("timestamp") == ""; !q.Open {
		if at, err = p.time("timestamp"); err != nil {
			return q, err
		}
	}
	if p.get("window") != "" {
		if length, err = p.duration("window"); err != nil {
			return q, err
		}
		q.Ranged = length != window
	}
	q.From, q.To = at.Add(-length), at
	if q.From.Before(time.Unix(0, math.MinInt64)) {
		return q, refuse(http.StatusBadRequest, "the window begins before the year 1678")
	}
	if q.Open {
		q.To = now.Add(window)
	}
	return q, nil
}

// between reads start and end. Without an end the question ends at later, an
// instant after all reports.
func (p params) between(later time.Time) (q reports.Question, err error) {
	if p.get("start") == "" {
		return q, refuse(http.StatusBadRequest, "parameter end needs a start")
	}
	for _, name := range []string{"timestamp", "window"} {
		if p.get(name) != "" {
			return q, refuse(http.StatusBadRequest, "parameter %s does not go with start and end", name)
		}
	}
	if q.From, err = p.time("start"); err != nil {
		return q, err
	}
	if q.Open = p.get("end") == ""; q.Open {
		q.To = later
	} else if q.To, err = p.time("end"); err != nil {
		return q, err
	}
	if q.To.Before(q.From) {
		return q, refuse(http.StatusBadRequest, "start is after end; without end, the end is now")
	}
	q.Ranged = true
	return q, nil
}

// time reads a time. In a query a plus stands for a space, so a space is read as
// the plus of a zone offset.
func (p params) time(name string) (time.Time, error) {
	t, err := reports.ParseTime(strings.ReplaceAll(p.get(name), " ", "+"))
	if err != nil {
		return t, refuse(http.StatusBadRequest, "parameter %s: %v", name, err)
	}
	return t, nil
}

// duration reads a positive duration.
func (p params) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(p.get(name))
	if err != nil || d <= 0 {
		return 0, refuse(http.StatusBadRequest, "parameter %s: %.40q is no positive duration such as 90s or 2h", name, p.get(name))
	}
	return d, nil
}

// flag reads a parameter that is true or false. It is false when absent, and true
// without a value.
func (p params) flag(name string) (bool, error) {
	if !p.has(name) || p.get(name) == "" {
		return p.has(name), nil
	}
	set, err := strconv.ParseBool(p.get(name))
	if err != nil {
		return false, refuse(http.StatusBadRequest, "parameter %s: %.40q is neither true nor false", name, p.get(name))
	}
	return set, nil
}

// integer reads a number within bounds. It returns absent when the parameter is
// absent.
func (p params) integer(name string, absent, least, most int) (int, error) {
	if p.get(name) == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(p.get(name))
	if err != nil || n < least || n > most {
		return 0, refuse(http.StatusBadRequest, "parameter %s: %.40q is no number from %d to %d", name, p.get(name), least, most)
	}
	return n, nil
}
