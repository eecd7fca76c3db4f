//go:build race

package httpapi

// underRace tells whether the race detector watches.
const underRace = true
