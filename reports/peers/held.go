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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
	"github.com/timeblob/timeblob/reports/shortcuts"
)

// A collector sends what it holds as multipart/mixed (RFC 2046). The version, the
// next instant and the last seal of bucket.Held are headers of the answer, and so is
// what the collector lacks. Each report is a
// part in msgpack; the headers of the part name its role, and its entry. Instants
// are decimal Unix nanoseconds. A value that cannot be read or encoded is a part with the
// reason in words. A query service of an earlier version does not know that role, and
// takes such an answer for one of a collector that does not answer.
const (
	headerVersion = "Timeblob-Version"
	headerNext    = "Timeblob-Next"
	headerSince   = "Timeblob-Since"   // collectors of earlier versions do not send it
	headerInstant = "Timeblob-Instant" // of a part: the entry's instant
	headerKey     = "Timeblob-Key"     // of a part: the key of the entry or shortcut
	headerRole    = "Timeblob-Role"    // of a part: one of the roles below

	// headerMissing is on other answers of collectors, too: what an answer lacks, with
	// commas between. headerParts is the number of parts, so that an answer that was
	// cut short is told. Earlier versions send neither with holdings.
	headerMissing = "Timeblob-Missing"
	headerParts   = "Timeblob-Parts"
)

// The roles of parts.
const (
	roleOwn      = "own"      // a sealed value whose key belongs to it
	roleSealed   = "sealed"   // a sealed value whose key may still become another writer's
	roleOpen     = "open"     // the value of the open tick
	roleShortcut = "shortcut" // a shortcut that live answers hold
	roleUnread   = "unread"   // a sealed or open value that the collector cannot read
)

// readRoles are the roles of parts with a report.
var readRoles = []string{roleOwn, roleSealed, roleOpen, roleShortcut}

// mediaUnread is the content type of a part that says why a value or shortcut cannot be read.
const mediaUnread = "text/plain; charset=utf-8"

// EncodeHoldings returns holdings in their wire form. It sets the content type
// and the other headers in head.
func EncodeHoldings(head http.Header, h *reports.Holdings) (body []byte, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, v := range h.Sealed {
		role := roleSealed
		if v.Own {
			role = roleOwn
		}
		err = errors.Join(err, writePart(w, role, v.Entry, v.Value, v.Err))
	}
	if h.IsOpen {
		err = errors.Join(err, writePart(w, roleOpen, index.Entry{}, h.Open, nil))
	}
	for _, c := range h.Shortcuts {
		err = errors.Join(err, writePart(w, roleShortcut, index.Entry{Key: c.Key}, c.Report, c.Err))
	}
	err = errors.Join(err, w.Close())
	head.Set(headerVersion, h.Version)
	head.Set(headerNext, strconv.FormatInt(h.Next, 10))
	parts := len(h.Sealed) + len(h.Shortcuts)
	if h.IsOpen {
		parts++
	}
	head.Set(headerParts, strconv.Itoa(parts))
	if len(h.Missing) > 0 {
		head.Set(headerMissing, strings.Join(h.Missing, ", "))
	}
	if h.Since != 0 {
		head.Set(headerSince, strconv.FormatInt(h.Since, 10))
	}
	head.Set("Content-Type", mime.FormatMediaType("multipart/mixed", map[string]string{"boundary": w.Boundary()}))
	return b.Bytes(), err
}

// writePart writes a report, or why it cannot be read.
func writePart(w *multipart.Writer, role string, e index.Entry, r *report.Report, unread error) error {
	media := "application/msgpack"
	var data []byte
	if unread == nil {
		data, unread = wire.AppendMsgpack(nil, r)
	}
	if held, ok := errors.AsType[*bucket.HeldError](unread); ok {
		unread = held.Err // the query service knows the rest
	}
	if unread != nil {
		media, data = mediaUnread, []byte(human.Line(unread.Error()))
	}
	if unread != nil && role != roleShortcut {
		role = roleUnread
	}
	head := textproto.MIMEHeader{headerRole: {role}, "Content-Type": {media}}
	if e.Key != "" {
		head[headerKey] = []string{e.Key}
		head[headerInstant] = []string{strconv.FormatInt(e.Time, 10)}
	}
	part, err := w.CreatePart(head)
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
	h.Version, h.Missing = head.Get(headerVersion), missingIn(head)
	if h.Next, err = strconv.ParseInt(head.Get(headerNext), 10, 64); err != nil {
		return h, fmt.Errorf("header %s: %w", headerNext, err)
	}
	if since := head.Get(headerSince); since != "" {
		if h.Since, err = strconv.ParseInt(since, 10, 64); err != nil {
			return h, fmt.Errorf("header %s: %w", headerSince, err)
		}
	}
	bounded := &io.LimitedReader{R: body, N: limit + 1}
	for n, parts := 0, multipart.NewReader(bounded, given["boundary"]); ; n++ {
		part, err := parts.NextRawPart()
		if err == nil && int64(n) >= max(limit/minPart, 1) {
			err = tooLarge(limit)
		}
		if err == io.EOF { // an error that wraps io.EOF says that the end is missing
			return h, checkParts(head, n)
		}
		if err == nil {
			err = addPart(&h, part, limit)
		}
		if bounded.N == 0 {
			err = tooLarge(limit)
		}
		if err != nil {
			return h, err
		}
	}
}

// minPart is how many bytes a part counts at least: the report of the shortest part takes as much
// memory.
const minPart = 4 << 10

// checkParts returns an error when the answer had more parts than were read.
func checkParts(head http.Header, read int) error {
	sent := head.Get(headerParts)
	if sent != "" && sent != strconv.Itoa(read) {
		return fmt.Errorf("the answer was cut short: it has %d parts of %.20s", read, sent)
	}
	return nil
}

// addPart decodes a part and adds it to h. A value that does not decode hides no other.
func addPart(h *reports.Holdings, part *multipart.Part, limit int64) error {
	data, err := readAll(part, limit)
	if err != nil {
		return err
	}
	role, e := part.Header.Get(headerRole), index.Entry{Time: h.Next, Key: part.Header.Get(headerKey)}
	if role == roleOwn || role == roleSealed || role == roleUnread && e.Key != "" {
		if e.Time, err = strconv.ParseInt(part.Header.Get(headerInstant), 10, 64); err != nil {
			return fmt.Errorf("header %s: %w", headerInstant, err)
		}
	}
	v := bucket.HeldValue[*report.Report]{Entry: e, Own: role == roleOwn}
	switch {
	case role == roleUnread, role == roleShortcut && part.Header.Get("Content-Type") == mediaUnread:
		err = errors.New(human.Line(string(data)))
	case slices.Contains(readRoles, role):
		v.Value, err = wire.DecodeMsgpack(data)
	default:
		return fmt.Errorf("header %s is %.20q: is the collector of a later version?", headerRole, role)
	}
	switch {
	case role == roleShortcut:
		h.Shortcuts = append(h.Shortcuts, shortcuts.Shortcut{Key: e.Key, Report: v.Value, Err: err})
	case err != nil:
		v.Err = &bucket.HeldError{Time: time.Unix(0, e.Time), Err: err}
		h.Sealed = append(h.Sealed, v)
	case role == roleOpen:
		h.Open, h.IsOpen = v.Value, true
	default:
		h.Sealed = append(h.Sealed, v)
	}
	return nil
}

// maxMissing bounds what is read of headerMissing: names, and bytes of each.
const (
	maxMissing     = 20
	maxMissingName = 200
)

// missingIn returns what an answer says that it lacks.
func missingIn(head http.Header) (names []string) {
	for name := range strings.SplitSeq(head.Get(headerMissing), ", ") {
		switch {
		case len(names) == maxMissing:
			return append(names, "more")
		case name != "":
			names = append(names, strings.ToValidUTF8(name[:min(len(name), maxMissingName)], ""))
		}
	}
	return names
}
