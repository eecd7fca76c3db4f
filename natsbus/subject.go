package natsbus

import (
	"fmt"
	"strings"
)

// SubjectError says that a text is not a literal subject.
type SubjectError struct{ Subject, Reason string }

func (e *SubjectError) Error() string {
	return fmt.Sprintf("subject %.80q: %s", e.Subject, e.Reason)
}

// checkSubject returns an error unless a subject is literal: printable ASCII without spaces and wildcards,
// and no empty part between dots.
func checkSubject(subject string) error {
	for i := range len(subject) {
		switch c := subject[i]; {
		case c <= ' ' || c > '~':
			return &SubjectError{subject, "holds characters other than printable ASCII"}
		case c == '*' || c == '>':
			return &SubjectError{subject, "holds a wildcard"}
		}
	}
	for part := range strings.SplitSeq(subject, ".") {
		if part == "" {
			return &SubjectError{subject, "has an empty part between dots"}
		}
	}
	return nil
}
