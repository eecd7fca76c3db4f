package remote

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/timeblob/timeblob/bucket"
)

// scripted answers each question with the same.
type scripted struct{}

func (scripted) answer() bucket.Answer[string] {
	return bucket.Answer[string]{Value: "ab", Entries: 2, Provisional: time.Unix(0, 7), Missing: []bucket.Missing{
		{Tenant: "acme", Time: time.Unix(0, 3), Key: "k", Err: bucket.ErrNoBlob}, {Tenant: "acme", Source: "c1", Err: errors.New("away")}}}
}

func (s scripted) RangeMany(context.Context, []string, time.Time, time.Time, *bucket.RangeOptions) (bucket.Answer[string], error) {
	return s.answer(), nil
}

func (s scripted) Steps(_ context.Context, _ string, from, to time.Time, _ time.Duration, _ *bucket.RangeOptions) iter.Seq2[bucket.Step[string], error] {
	return func(yield func(bucket.Step[string], error) bool) {
		a := bucket.Answer[string]{Value: "ab", Entries: 1}
		_ = yield(bucket.Step[string]{From: time.Unix(0, 1), To: time.Unix(0, 2), Answer: a}, nil) &&
			yield(bucket.Step[string]{From: time.Unix(0, 2), To: time.Unix(0, 3)}, nil)
	}
}

func (s scripted) Values(context.Context, string, time.Time, time.Time, *bucket.RangeOptions) iter.Seq2[bucket.Value[string], error] {
	return func(yield func(bucket.Value[string], error) bool) {
		_ = yield(bucket.Value[string]{Tenant: "acme", Time: time.Unix(0, 1), Key: "k", Value: "ab"}, nil) &&
			yield(bucket.Value[string]{}, bucket.ErrClosed)
	}
}

func (scripted) Has(context.Context, string, time.Time, time.Time) (bool, error) { return true, nil }

func (scripted) Tenants(context.Context) ([]string, error) { return []string{"acme", ""}, nil }

// TestGoldenAnswers compares the answers to questions with bytes of version 1,
// which are frozen.
func TestGoldenAnswers(t *testing.T) {
	t.Parallel()
	h, err := NewHandler(nil, text{}, &HandlerOptions[string]{Questions: scripted{}})
	if err != nil {
		t.Fatal(err)
	}
	for what, golden := range map[string]string{
		"range": `54425201
			4d 00000036 2bbd2a9d 0000000000000003000461636d6500016b000000076e6f20626c6f627468652073746f726520686173206e6f207375636820626c6f62
			4d 00000020 0dfadc1e 8000000000000000000461636d6500000002633100066661696c656461776179
			41 00000022 d38bdaeb 80000000000000008000000000000000000000000000000700000000000000026162
			45 00000000 aa77cd87 `,
		"steps": `54425201
			41 00000022 6d629e5d 00000000000000010000000000000002800000000000000000000000000000016162
			41 00000020 f8fe443e 0000000000000002000000000000000380000000000000000000000000000000
			45 00000000 aa77cd87 `,
		"values": `54425201
			56 00000013 95034804 0000000000000001000461636d6500016b6162
			46 0000001d 1449e20b 0006636c6f7365640000636f6c6c6563746f7220697320636c6f736564`,
		"has": `54425201
			50 00000001 78eb0c2b 01
			45 00000000 aa77cd87 `,
		"tenants": `54425201
			54 00000004 58f87c73 61636d65
			54 00000000 1d44c3f8 
			45 00000000 aa77cd87 `,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+what+"?v=1&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&step=1s", nil))
		if want := strings.Join(strings.Fields(golden), ""); hex.EncodeToString(w.Body.Bytes()) != want {
			t.Errorf("%s: %d\n%x, want\n%s", what, w.Code, w.Body, want)
		}
	}
}
