package tenants

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/human"
)

// Limits of the format.
const (
	maxFile  = 64 << 20 // bytes
	maxLine  = 64 << 10 // bytes
	maxToken = 512      // bytes
	maxRate  = 1e9      // reports a second
)

// The words of the format.
const (
	single     = `""`      // stands for the tenant with an empty id
	peers      = "*"       // stands for peers, which name a tenant in each request
	hashed     = "sha256:" // begins the SHA-256 sum of a token
	fieldNames = "token=, basic=, rate=, pending=, size= or inflated="
)

// SyntaxError says what is wrong with a tenants file, and where. It repeats nothing of the file, because a
// token may be anywhere in a wrong file.
type SyntaxError struct {
	Line   int // counted from 1
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// Parse parses a tenants file of at most 64 MiB. Its error is a *SyntaxError or an error of reading.
func Parse(r io.Reader) (*Table, error) {
	p := &parser{table: &Table{limits: make(map[string]Limits), callers: make(map[sum]Caller), basic: make(map[sum]Caller)},
		lines: make(map[string]int), tokens: make(map[sum]int), basics: make(map[sum]int)}
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	scanner := bufio.NewScanner(limited)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		p.line++
		if err := p.read(scanner.Bytes()); err != nil {
			return nil, &SyntaxError{p.line, err.Error()}
		}
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &SyntaxError{p.line + 1, fmt.Sprintf("longer than %d bytes", maxLine)}
	case err != nil:
		return nil, err
	case limited.N == 0:
		return nil, &SyntaxError{p.line, fmt.Sprintf("the file is larger than %d bytes", maxFile)}
	}
	return p.table, nil
}

// parser parses line by line.
type parser struct {
	table  *Table
	line   int
	lines  map[string]int // the line of each name
	tokens map[sum]int    // the line of each token
	basics map[sum]int    // the line of each user and password
}

// read parses a line, which may be empty.
func (p *parser) read(line []byte) error {
	if p.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\ufeff")) // some editors begin files with a byte order mark
	}
	words := strings.Fields(string(line))
	for i, word := range words {
		if word[0] == '#' {
			words = words[:i]
			break
		}
	}
	if len(words) == 0 {
		return nil
	}
	caller, err := p.name(words[0])
	if err != nil {
		return err
	}
	return p.fields(caller, words[1:])
}

// name parses the name at the beginning of a line.
func (p *parser) name(word string) (c Caller, err error) {
	switch word {
	case single:
	case peers:
		c.Peer = true
		p.table.peers = p.line
	default:
		if index.CheckTenant(word) != nil {
			return c, fmt.Errorf("a tenant's id comes first, 1 to 64 letters, digits and -_., or %s for the default tenant, or %s for peers",
				single, peers)
		}
		c.Tenant = word
	}
	if before := p.lines[word]; before > 0 {
		return c, fmt.Errorf("the name is on line %d already: use one line for each name", before)
	}
	p.lines[word] = p.line
	if !c.Peer {
		p.table.tenants++
	}
	return c, nil
}

// fields parses the fields of a line.
func (p *parser) fields(c Caller, words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("has nothing after the name: add %s", fieldNames)
	}
	var limits Limits
	for i, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch lower := strings.ToLower(key); {
		case key == "token":
			err = p.token(c, value)
		case key == "basic":
			err = p.basic(c, value)
		case lower != key && strings.Contains(fieldNames, lower+"="):
			err = fmt.Errorf("write %s in lower case", lower)
		default:
			err = limits.set(key, value)
		}
		if err != nil {
			return fmt.Errorf("field %d after the name: %w", i+1, err)
		}
	}
	switch {
	case limits == Limits{}:
	case c.Peer:
		return errors.New("peers have no limits of their own: give those to the tenants that they name")
	default:
		p.table.limits[c.Tenant] = limits
	}
	return nil
}

// token adds a token of a caller.
func (p *parser) token(c Caller, text string) error {
	s, err := sumOf(text)
	if err != nil {
		return err
	}
	if before := p.tokens[s]; before > 0 {
		return fmt.Errorf("the token is on line %d already", before)
	}
	p.tokens[s] = p.line
	p.table.callers[s] = c
	return nil
}

// basic adds a user name and password of a caller, for HTTP basic authentication.
func (p *parser) basic(c Caller, text string) error {
	if name, _, ok := strings.Cut(text, ":"); !ok || name == "" {
		return errors.New("basic needs USER:PASSWORD, or sha256: and the sum of USER:PASSWORD in hex")
	}
	s, err := sumOf(text)
	if err != nil {
		return err
	}
	if before := p.basics[s]; before > 0 {
		return fmt.Errorf("the user and password are on line %d already", before)
	}
	p.basics[s] = p.line
	p.table.basic[s] = c
	return nil
}

// sumOf returns the sum of a token as the file gives it.
func sumOf(text string) (s sum, err error) {
	if digits, ok := strings.CutPrefix(text, hashed); ok {
		given, err := hex.DecodeString(digits)
		if err != nil || len(given) != len(s) {
			return s, fmt.Errorf("%s needs 64 hex digits after it", hashed)
		}
		return sum(given), nil
	}
	if otherHash.MatchString(text) {
		return s, fmt.Errorf("write the sum of a token as %sHEX, in lower case; other hashes are not supported", hashed)
	}
	if len(text) == 0 || len(text) > maxToken || strings.ContainsFunc(text, notInToken) {
		return s, fmt.Errorf("a token is 1 to %d visible ASCII characters other than quotes and commas", maxToken)
	}
	return sha256.Sum256([]byte(text)), nil
}

// otherHash matches the beginning of a sum in another notation, such as SHA256:, sha-256: or sha512=.
var otherHash = regexp.MustCompile(`(?i)^sha[-_]?(1|224|256|384|512)[:=]`)

func notInToken(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == ',' }

// set parses one limit.
func (l *Limits) set(key, value string) error {
	bytes := map[string]*int64{"pending": &l.Pending, "size": &l.Size, "inflated": &l.Inflated}[key]
	switch {
	case key == "rate" && l.Rate == 0:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= 1/maxRate && n <= maxRate) {
			return errors.New("rate must be a number of reports a second above 0, such as 0.5 or 200")
		}
		l.Rate = n
	case bytes != nil && *bytes == 0:
		n, err := human.ParseBytes(value)
		if err != nil || n == 0 {
			return fmt.Errorf("%s must be a number of bytes above 0, such as 64MiB", key)
		}
		*bytes = n
	case key == "rate" || bytes != nil:
		return fmt.Errorf("%s is given twice", key)
	default:
		return fmt.Errorf("is not one of %s", fieldNames)
	}
	return nil
}
