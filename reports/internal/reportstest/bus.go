package reportstest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// Bus is a shortcuts.Bus within a test. Its faults may be changed at any time
// with Fail.
type Bus struct {
	mu         sync.Mutex // guards the fields below
	faults     Faults
	handlers   map[string]map[int]func([]byte)
	subscribed int // in all
}

// Faults are what a Bus does wrong.
type Faults struct {
	Subscribe, Publish error // what they return
	Hang               bool  // Publish returns when its context ends
}

// Fail sets the faults.
func (b *Bus) Fail(f Faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = f
}

// Publish calls the handlers of a subject.
func (b *Bus) Publish(ctx context.Context, subject string, payload []byte) error {
	b.mu.Lock()
	faults := b.faults
	handlers := slices.Collect(maps.Values(b.handlers[subject]))
	b.mu.Unlock()
	if faults.Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if faults.Publish == nil {
		for _, handle := range handlers {
			handle(bytes.Clone(payload))
		}
	}
	return faults.Publish
}

// Subscribe adds a handler of a subject.
func (b *Bus) Subscribe(subject string, handle func([]byte)) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults.Subscribe != nil {
		return nil, b.faults.Subscribe
	}
	if b.handlers == nil {
		b.handlers = make(map[string]map[int]func([]byte))
	}
	if b.handlers[subject] == nil {
		b.handlers[subject] = make(map[int]func([]byte))
	}
	b.subscribed++
	id := b.subscribed
	b.handlers[subject][id] = handle
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.handlers[subject], id)
	}, nil
}

// Subjects returns the subject of each handler, sorted.
func (b *Bus) Subjects() (subjects []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for subject, handlers := range b.handlers {
		subjects = append(subjects, slices.Repeat([]string{subject}, len(handlers))...)
	}
	slices.Sort(subjects)
	return subjects
}

// Say publishes within a synctest bubble, and returns when all that follows from
// it is done.
func (b *Bus) Say(t testing.TB, subject, payload string) {
	t.Helper()
	if err := b.Publish(t.Context(), subject, []byte(payload)); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}
