package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
)

// MonitoredNATS is NATS with its monitoring port open. What it returns beside asks the server which
// subjects its clients subscribe to, sorted, as often as they do; it fails the test when the server
// does not answer.
func MonitoredNATS(t testing.TB, options ...string) (url string, subjects func() []string, p *Process) {
	t.Helper()
	port, hold, err := reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hold.Close() })
	url, p = NATS(t, append([]string{"-m", strconv.Itoa(port)}, options...)...)
	monitor := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return url, func() []string {
		found, err := subscriptions(t.Context(), monitor)
		if err != nil {
			t.Errorf("ask NATS for its subscriptions: %v", err)
		}
		return found
	}, p
}

// subscriptions asks a monitoring port for the subjects of all connections.
func subscriptions(ctx context.Context, monitor string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*probeWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, monitor+"/connz?subs=1", nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var said struct {
		Connections []struct {
			Subjects []string `json:"subscriptions_list"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return nil, fmt.Errorf("%s: %w", answer.Status, err)
	}
	var found []string
	for _, c := range said.Connections {
		found = append(found, c.Subjects...)
	}
	slices.Sort(found)
	return found, nil
}
