package stores

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The schemes of locations.
const (
	dynamoScheme    = "dynamodb"
	s3Scheme        = "s3"
	memcachedScheme = "memcached"
	srvScheme       = "memcached+srv"
)

// location is where a URL says that a table, a bucket or a cache is:
//
//	scheme://[key:secret@]host[:port][/name][?parameter=value&…]
//
// Its text never holds the secret, nor do the errors of parseLocation.
type location struct {
	scheme      string
	key, secret string // empty when the SDK finds them
	host        string // with the port, if there is one
	name        string
	parameters  url.Values
}

// String returns the URL without credentials and parameters.
func (l *location) String() string { return l.scheme + "://" + l.host + "/" + l.name }

// parseLocation reads a URL of one of the schemes. The text before the last @
// holds the credentials. Reserved characters in them may be written as they are,
// except for a colon in the key and a question mark, or escaped, as %2F. net/url
// cannot parse them: Amazon's secrets may contain slashes, and its error would
// print the secret.
func parseLocation(text string, schemes ...string) (*location, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	switch lower := strings.ToLower(scheme); {
	case !ok || !slices.Contains(schemes, lower):
		return nil, fmt.Errorf("must begin with %s://", strings.Join(schemes, ":// or "))
	case lower != scheme:
		return nil, fmt.Errorf("write the beginning in lower case, as %s://", lower)
	}
	l := &location{scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if err := l.setCredentials(rest[:at]); err != nil {
			return nil, err
		}
		rest = rest[at+1:]
	}
	l.host, l.name, _ = strings.Cut(rest, "/")
	return l, l.setParameters(query)
}

func (l *location) setCredentials(text string) error {
	key, secret, _ := strings.Cut(text, ":")
	var errs [2]error
	l.key, errs[0] = url.PathUnescape(key)
	l.secret, errs[1] = url.PathUnescape(secret)
	switch {
	case errs[0] != nil || errs[1] != nil:
		return errors.New("a % in the credentials does not begin an escape such as %2F")
	case l.key == "" || l.secret == "":
		return errors.New("before the @ must be key:secret")
	}
	return nil
}

// setParameters parses the part after the question mark. Each parameter may occur once.
func (l *location) setParameters(query string) (err error) {
	if strings.Contains(query, "@") {
		return errors.New("an @ follows the ?: write a ? in the secret as %3F")
	}
	if l.parameters, err = url.ParseQuery(query); err != nil {
		return errors.New("what follows the ? must be of the form parameter=value&parameter=value")
	}
	for name, values := range l.parameters {
		if len(values) > 1 {
			return fmt.Errorf("parameter %s is given %d times", name, len(values))
		}
	}
	return nil
}

// regionName matches the name of an AWS region, such as us-east-1, us-gov-west-1 and eusc-de-east-1.
var regionName = regexp.MustCompile(`^([a-z]{2}|eusc)(-[a-z]+)+-[0-9]+$`)

// region reports whether the host is an AWS region and not a server.
func (l *location) region() bool { return regionName.MatchString(l.host) }

// secrets matches the credentials of URLs in a text.
var secrets = regexp.MustCompile(`(?i)\b(dynamodb|s3|memcached(?:\+srv)?|nats|tls)://\S*@`)

// HideSecrets removes the credentials of URLs in a text.
func HideSecrets(text string) string { return secrets.ReplaceAllString(text, "$1://…@") }

// Named adds the name of a flag to an error. It returns nil for nil.
func Named(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
