package reports

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// question is what a request asks about: the merge of [from, to).
type question struct {
	from, to time.Time
	open     bool // no end was given; to is later than all there is
	ranged   bool // of another length than the collector's window
}

// params are a request's parameters, each given once at most.
type params url.Values

// parseParams reads the query of a URL. Of the parameters named, none may be
// given twice.
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

// spanParams are the parameters of a question.
var spanParams = []string{"timestamp", "window", "start", "end"}

func (p params) get(name string) string { return url.Values(p).Get(name) }

func (p params) has(name string) bool { return url.Values(p).Has(name) }

// question reads what is asked about.
func (h *Handler) question(p params) (question, error) {
	stored := h.reader.stored()
	q, err := p.question(stored.now(), stored.window)
	if err != nil {
		return q, err
	}
	length := q.to.Sub(q.from)
	if q.open {
		length -= stored.window
	}
	if length > h.opts.MaxRange {
		return q, refuse(http.StatusBadRequest, "the range is longer than %s: ask for a shorter one", humanDuration(h.opts.MaxRange))
	}
	return q, nil
}

// question reads what is asked about; window is the collector's. What has no
// end ends a window from now, so that no tick that ends meanwhile is left out.
func (p params) question(now time.Time, window time.Duration) (q question, err error) {
	if p.get("start") != "" || p.get("end") != "" {
		return p.between(now.Add(window))
	}
	at, length := now, window
	if q.open = p.get("timestamp") == ""; !q.open {
		if at, err = p.time("timestamp"); err != nil {
			return q, err
		}
	}
	if p.get("window") != "" {
		if length, err = p.duration("window"); err != nil {
			return q, err
		}
		q.ranged = length != window
	}
	q.from, q.to = at.Add(-length), at
	if q.from.Before(time.Unix(0, math.MinInt64)) {
		return q, refuse(http.StatusBadRequest, "the window begins before the year 1678")
	}
	if q.open {
		q.to = now.Add(window)
	}
	return q, nil
}

// between reads start and end; without an end it is the instant later, which
// is after all there is.
func (p params) between(later time.Time) (q question, err error) {
	if p.get("start") == "" {
		return q, refuse(http.StatusBadRequest, "parameter end needs a start")
	}
	for _, name := range []string{"timestamp", "window"} {
		if p.get(name) != "" {
			return q, refuse(http.StatusBadRequest, "parameter %s does not go with start and end", name)
		}
	}
	if q.from, err = p.time("start"); err != nil {
		return q, err
	}
	if q.open = p.get("end") == ""; q.open {
		q.to = later
	} else if q.to, err = p.time("end"); err != nil {
		return q, err
	}
	if q.to.Before(q.from) {
		return q, refuse(http.StatusBadRequest, "start is after end, which is now when it is not given")
	}
	q.ranged = true
	return q, nil
}

// time reads a time. A zone offset's plus that came as the space it stands for
// in a query is put back.
func (p params) time(name string) (time.Time, error) {
	t, err := ParseTime(strings.ReplaceAll(p.get(name), " ", "+"))
	if err != nil {
		return t, refuse(http.StatusBadRequest, "parameter %s: %v", name, err)
	}
	return t, nil
}

func (p params) duration(name string) (time.Duration, error) {
	d, err := time.ParseDuration(p.get(name))
	if err != nil || d <= 0 {
		return 0, refuse(http.StatusBadRequest, "parameter %s: %.40q is no positive duration such as 90s or 2h", name, p.get(name))
	}
	return d, nil
}

// flag reads a parameter that is true or false; absent is false, and without
// a value it is true.
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
