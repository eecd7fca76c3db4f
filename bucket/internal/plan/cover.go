package plan

import (
	"slices"
	"sync"

	"github.com/timeblob/timeblob/bucket/internal/levels"
)

// cover says which spans of a range were sealed when somebody looked.
type cover struct {
	parts []coverPart // consecutive
}

type coverPart struct {
	from, to int64
	sealed   bool
}

// sealed guesses whether a span is sealed: unless it was seen that it is not.
func (c *cover) sealed(from, to int64) bool {
	if len(c.parts) == 0 || from < c.parts[0].from || to > c.parts[len(c.parts)-1].to {
		return true
	}
	i, _ := slices.BinarySearchFunc(c.parts, from, func(part coverPart, from int64) int {
		if part.to <= from {
			return -1
		}
		return 1
	})
	return c.parts[i].sealed && c.parts[i].to >= to
}

// covers remembers the last cover of each tenant.
type covers struct {
	mu   sync.Mutex // guards last
	last map[string]cover
}

// Bounds of what covers remembers: 24 bytes a part.
const (
	maxCovers     = 1000
	maxCoverParts = 4000
)

func (c *covers) get(tenant string) cover {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[tenant]
}

func (c *covers) set(tenant string, parts []levels.Part) {
	if len(parts) > maxCoverParts {
		return
	}
	one := cover{make([]coverPart, len(parts))}
	for i, part := range parts {
		one.parts[i] = coverPart{part.From, part.To, part.Place != nil}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || len(c.last) >= maxCovers {
		c.last = make(map[string]cover)
	}
	c.last[tenant] = one
}
