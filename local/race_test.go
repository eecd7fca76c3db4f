//go:build race

package local

import "flag"

// Random tests run a quarter of their programs under the race detector, which makes them many times as slow.
// scripts/test runs TestModel in full without it.
func init() {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
}
