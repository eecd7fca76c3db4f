package peers

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// headerQuestion holds a random text in a request to a collector. In the answer of one of our
// collectors it holds the question as the collector understood it: the same text, the range in
// Unix nanoseconds or aboutNow, and the tenant. So a query service notices an answer that a proxy
// kept, or gave to another request, and a collector that finds another tenant in the request.
// Scope's collectors, and ours of earlier versions, do not send it.
const headerQuestion = "Timeblob-Question"

// aboutNow stands for the range of a question about the live window.
const aboutNow = "now"

// maxNonce bounds what is sent back of a request's text.
const maxNonce = 64

// rangeOf returns how a range is written in headerQuestion.
func rangeOf(from, to time.Time) string {
	return strconv.FormatInt(from.UnixNano(), 10) + " " + strconv.FormatInt(to.UnixNano(), 10)
}

func questionOf(nonce, about, tenant string) string {
	return nonce + " " + about + " " + strconv.Quote(tenant)
}

// EchoHeld says in the header of an answer that it holds what is held of a tenant from an
// instant until just before another, and which request asked for it.
func EchoHeld(answer, request http.Header, tenant string, from, to time.Time) {
	echo(answer, request, rangeOf(from, to), tenant)
}

// EchoLive says in the header of an answer that it is the live window of a tenant, and which
// request asked for it.
func EchoLive(answer, request http.Header, tenant string) { echo(answer, request, aboutNow, tenant) }

func echo(answer, request http.Header, about, tenant string) {
	if nonce := request.Get(headerQuestion); nonce != "" && len(nonce) <= maxNonce {
		answer.Set(headerQuestion, questionOf(nonce, about, tenant))
	}
}

// Asks reports whether a request comes from a query service. It carries over what the answer
// lacks, so the answer may be partial.
func Asks(request http.Header) bool { return request.Get(headerQuestion) != "" }

// errOtherQuestion says that an answer belongs to another question.
var errOtherQuestion = errors.New("it answered another question: does a proxy in front of it keep answers, or does it take the tenant from another header?")

// answersTo reports whether an answer says which question it answers. The error says that
// it is another one.
func answersTo(answer *http.Response, question string) (said bool, err error) {
	got := answer.Header.Get(headerQuestion)
	if got != "" && got != question {
		return true, errOtherQuestion
	}
	return got != "", nil
}
