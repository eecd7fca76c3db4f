package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// What a collector holds goes to queriers as multipart/mixed (RFC 2046): the
// version and the next instant of bucket.Held are headers of the answer, and
// each report is a part, as msgpack, whose headers say what it is of. Instants
// are decimal Unix nanoseconds.
const (
	headerVersion = "Timeblob-Version"
	headerNext    = "Timeblob-Next"
	headerInstant = "Timeblob-Instant" // of a part: its entry's
	headerKey     = "Timeblob-Key"     // of a part: its entry's, or that of a shortcut
	headerRole    = "Timeblob-Role"    // of a part: one of those below
)

// The roles of parts.
const (
	roleOwn      = "own"      // a sealed value whose key is its own
	roleSealed   = "sealed"   // a sealed value whose key may be another writer's yet
	roleOpen     = "open"     // the value of the open tick
	roleShortcut = "shortcut" // one that live answers hold
)

// holdings is what a collector holds of a tenant, shortcuts included.
type holdings struct {
	bucket.Held[*report.Report]
	shortcuts []shortcut
}

// getHeld answers with what this collector holds of a tenant from start until
// just before end and the index may not have, and with its shortcuts.
func (h *Handler) getHeld(w http.ResponseWriter, r *http.Request) error {
	tenant, err := h.tenant(r)
	if err != nil {
		return err
	}
	p, err := parseParams(r.URL.RawQuery, spanParams...)
	if err != nil {
		return err
	}
	q, err := p.between(h.collector.soon())
	if err != nil {
		return err
	}
	held, err := h.collector.held(r.Context(), tenant, q)
	if err != nil {
		return err
	}
	body, boundary, err := h.encodeHeld(r.Context(), held)
	if err != nil {
		return err
	}
	w.Header().Set(headerVersion, held.Version)
	w.Header().Set(headerNext, strconv.FormatInt(held.Next, 10))
	return h.send(w, r, mime.FormatMediaType("multipart/mixed", map[string]string{"boundary": boundary}), body)
}

// holdsNothing refuses a querier that asks another one, or itself, as those do
// that are found under the name of collectors. They would ask each other on and
// on: not the 404 of Scope's collectors, which are then asked for more.
func holdsNothing(http.ResponseWriter, *http.Request) error {
	return refuse(http.StatusMisdirectedRequest, "this is a query service, which holds nothing: leave it out of the collectors that are asked")
}

// encodeHeld encodes what is held, as encode does a report; who takes the answer
// slowly holds up nobody.
func (h *Handler) encodeHeld(ctx context.Context, held holdings) (body []byte, boundary string, err error) {
	if err := h.codings.enter(ctx); err != nil {
		return nil, "", err
	}
	defer h.codings.leave()
	return held.encode()
}

// encode returns the parts and what is between them.
func (h *holdings) encode() (body []byte, boundary string, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	add := func(role string, e index.Entry, r *report.Report) {
		if err == nil {
			err = addPart(w, role, e, r)
		}
	}
	for _, v := range h.Sealed {
		role := roleSealed
		if v.Own {
			role = roleOwn
		}
		add(role, v.Entry, v.Value)
	}
	if h.IsOpen {
		add(roleOpen, index.Entry{}, h.Open)
	}
	for _, c := range h.shortcuts {
		add(roleShortcut, index.Entry{Key: c.key}, c.report)
	}
	err = errors.Join(err, w.Close())
	return b.Bytes(), w.Boundary(), err
}

func addPart(w *multipart.Writer, role string, e index.Entry, r *report.Report) error {
	head := textproto.MIMEHeader{headerRole: {role}, "Content-Type": {mediaMsgpack}}
	if e.Key != "" {
		head[headerKey] = []string{e.Key}
		head[headerInstant] = []string{strconv.FormatInt(e.Time, 10)}
	}
	part, err := w.CreatePart(head)
	if err != nil {
		return err
	}
	data, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		return err
	}
	_, err = part.Write(data)
	return err
}

// decodeHoldings reads an answer of getHeld, of at most limit bytes.
func decodeHoldings(head http.Header, body io.Reader, limit int64) (h holdings, err error) {
	media, given, err := mime.ParseMediaType(head.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" || head.Get(headerVersion) == "" {
		return h, fmt.Errorf("content type %.80q is not that of what a collector holds", head.Get("Content-Type"))
	}
	h.Version = head.Get(headerVersion)
	if h.Next, err = strconv.ParseInt(head.Get(headerNext), 10, 64); err != nil {
		return h, fmt.Errorf("header %s: %w", headerNext, err)
	}
	bounded := &io.LimitedReader{R: body, N: limit + 1}
	for parts := multipart.NewReader(bounded, given["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err == nil {
			err = h.take(part, limit)
		}
		if bounded.N == 0 {
			err = &wire.TooLargeError{What: "answer of a collector", Limit: limit}
		}
		if err != nil {
			return h, err
		}
	}
}

// take adds a part.
func (h *holdings) take(part *multipart.Part, limit int64) error {
	data, err := wire.ReadBody(part, false, limit)
	if err != nil {
		return err
	}
	r, err := wire.DecodeMsgpack(data)
	if err != nil {
		return err
	}
	switch role := part.Header.Get(headerRole); role {
	case roleOpen:
		h.Open, h.IsOpen = r, true
	case roleShortcut:
		h.shortcuts = append(h.shortcuts, shortcut{key: part.Header.Get(headerKey), report: r})
	case roleOwn, roleSealed:
		at, err := strconv.ParseInt(part.Header.Get(headerInstant), 10, 64)
		if err != nil {
			return fmt.Errorf("header %s: %w", headerInstant, err)
		}
		e := index.Entry{Time: at, Key: part.Header.Get(headerKey)}
		h.Sealed = append(h.Sealed, bucket.HeldValue[*report.Report]{Entry: e, Own: role == roleOwn, Value: r})
	default:
		return fmt.Errorf("header %s is %.20q: is the collector of a later version?", headerRole, role)
	}
	return nil
}
