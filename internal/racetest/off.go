//go:build !race

// Package racetest tells tests whether the race detector is on. A test may then do less: under the race detector the
// same work takes several times as long. scripts/test runs such a test in full without the race detector.
package racetest

// Enabled reports whether the race detector is on.
const Enabled = false
