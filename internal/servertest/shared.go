package servertest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
)

var shared = struct {
	dynamoDBLocal, dynalite slot
}{
	dynamoDBLocal: slot{what: dynamoDBLocal()},
	dynalite:      slot{what: dynalite()},
}

// SharedDynamoDBLocal returns the URL of one DynamoDB Local for the whole test binary, started when
// it is first asked for. Tests that share it keep to tables of their own and cannot stop it. It ends
// with Main, or else with the test binary.
func SharedDynamoDBLocal(t testing.TB) (endpoint string) {
	t.Helper()
	return "http://" + shared.dynamoDBLocal.open(t).Addr()
}

// SharedDynalite is SharedDynamoDBLocal for dynalite.
func SharedDynalite(t testing.TB) (endpoint string) {
	t.Helper()
	return "http://" + shared.dynalite.open(t).Addr()
}

// Main ends the shared servers, and removes what Built has built, when a package's tests are done, for packages that
// check for leaks:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(servertest.Main(m)) }
func Main(m *testing.M) interface{ Run() int } { return tests{m} }

type tests struct{ m *testing.M }

func (r tests) Run() int {
	code := r.m.Run()
	if err := errors.Join(shared.dynamoDBLocal.close(), shared.dynalite.close(), builds.remove()); err != nil {
		fmt.Fprintln(os.Stderr, "servertest:", err)
		return max(code, 1)
	}
	return code
}

// slot holds a shared server, if one was started. A start that failed is tried again by the next test.
type slot struct {
	what program

	mu sync.Mutex
	p  *Process
}

func (s *slot) open(t testing.TB) *Process {
	t.Helper()
	if _, err := s.what.command(0); err != nil {
		unavailable(t, err)
	}
	p, err := s.get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.report(t) })
	return p
}

func (s *slot) get() (*Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil {
		return s.p, nil
	}
	p, err := newProcess(s.what)
	if err == nil {
		s.p = p
	}
	return p, err
}

func (s *slot) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p == nil {
		return nil
	}
	p := s.p
	s.p = nil
	return p.close()
}
