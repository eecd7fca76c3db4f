package peers

import (
	"bytes"
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
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// A collector sends what it holds as multipart/mixed (RFC 2046). The version, the
// next instant and the last seal of bucket.Held are headers of the answer. Each report is a
// part in msgpack; the headers of the part name its role, and its entry. Instants
// are decimal Unix nanoseconds.
const (
	headerVersion = "Timeblob-Version"
	headerNext    = "Timeblob-Next"
	headerSince   = "Timeblob-Since"   // collectors of earlier versions do not send it
	headerInstant = "Timeblob-Instant" // of a part: the entry's instant
	headerKey     = "Timeblob-Key"     // of a part: the key of the entry or shortcut
	headerRole    = "Timeblob-Role"    // of a part: one of the roles below
)

// The roles of parts.
const (
	roleOwn      = "own"      // a sealed value whose key belongs to it
	roleSealed   = "sealed"   // a sealed value whose key may still become another writer's
	roleOpen     = "open"     // the value of the open tick
	roleShortcut = "shortcut" // a shortcut that live answers hold
)

// EncodeHoldings returns holdings in their wire form. It sets the content type
// and the other headers in head.
func EncodeHoldings(head http.Header, h *reports.Holdings) (body []byte, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	add := func(role string, e index.Entry, r *report.Report) {
		if err == nil {
			err = writePart(w, role, e, r)
		}
	}
	for _, v := range h.Sealed {
		if v.Err != nil {
			return nil, v.Err
		}
		role := roleSealed
		if v.Own {
			role = roleOwn
		}
		add(role, v.Entry, v.Value)
	}
	if h.IsOpen {
		add(roleOpen, index.Entry{}, h.Open)
	}
	for _, c := range h.Shortcuts {
		add(roleShortcut, index.Entry{Key: c.Key}, c.Report)
	}
	err = errors.Join(err, w.Close())
	head.Set(headerVersion, h.Version)
	head.Set(headerNext, strconv.FormatInt(h.Next, 10))
	if h.Since != 0 {
		head.Set(headerSince, strconv.FormatInt(h.Since, 10))
	}
	head.Set("Content-Type", mime.FormatMediaType("multipart/mixed", map[string]string{"boundary": w.Boundary()}))
	return b.Bytes(), err
}

func writePart(w *multipart.Writer, role string, e index.Entry, r *report.Report) error {
	head := textproto.MIMEHeader{headerRole: {role}, "Content-Type": {"application/msgpack"}}
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

// DecodeHoldings reads the wire form of holdings, of at most limit bytes.
func DecodeHoldings(head http.Header, body io.Reader, limit int64) (h reports.Holdings, err error) {
	media, given, err := mime.ParseMediaType(head.Get("Content-Type"))
	if err != nil || media != "multipart/mixed" || head.Get(headerVersion) == "" {
		return h, fmt.Errorf("content type %.80q is not the one of a collector's holdings", head.Get("Content-Type"))
	}
	h.Version = head.Get(headerVersion)
	if h.Next, err = strconv.ParseInt(head.Get(headerNext), 10, 64); err != nil {
		return h, fmt.Errorf("header %s: %w", headerNext, err)
	}
	if since := head.Get(headerSince); since != "" {
		if h.Since, err = strconv.ParseInt(since, 10, 64); err != nil {
			return h, fmt.Errorf("header %s: %w", headerSince, err)
		}
	}
	bounded := &io.LimitedReader{R: body, N: limit + 1}
	for parts := multipart.NewReader(bounded, given["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err == nil {
			err = addPart(&h, part, limit)
		}
		if bounded.N == 0 {
			err = &wire.TooLargeError{What: "answer of a collector", Limit: limit}
		}
		if err != nil {
			return h, err
		}
	}
}

// addPart decodes a part and adds it to h.
func addPart(h *reports.Holdings, part *multipart.Part, limit int64) error {
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
		h.Shortcuts = append(h.Shortcuts, shortcuts.Shortcut{Key: part.Header.Get(headerKey), Report: r})
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
