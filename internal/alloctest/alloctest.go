// Package alloctest checks how much memory a function allocates in relation to its input, and how much is in use.
package alloctest

import (
	"runtime"
	"testing"
)

// Factor is how many bytes may be allocated for each byte of an input, inflated. Rule 7 of DESIGN.md promises it.
const Factor = 16

// Bytes returns how many bytes the process allocated while f ran, freed ones too. Other goroutines count as well.
func Bytes(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Heap returns how many bytes of the heap are in use. A test that calls it must not be parallel.
func Heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools and finalizers hold goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Bounded runs f and fails the test when f allocated more than Factor bytes for each byte of its input, and fixed
// bytes for buffers and pools.
func Bounded(t testing.TB, what string, input, fixed int64, f func()) {
	t.Helper()
	if got := Bytes(f); got > Factor*input+fixed {
		t.Errorf("%s: %d bytes allocated for an input of %d, at most %d×%d and %d are allowed", what, got, input, Factor, input, fixed)
	}
}
