package dynamoindex_test

import (
	"testing"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/index/indextest"
	"github.com/timeblob/timeblob/internal/servertest"
)

// TestLarge is on dynalite only, which is the faster by far; TestPages is on
// both.
func TestLarge(t *testing.T) {
	t.Parallel()
	indextest.RunLarge(t, func(t *testing.T) index.Index {
		x, _ := fresh(t, servertest.SharedDynalite(t), nil)
		return x
	})
}
