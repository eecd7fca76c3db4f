package tiered

import "github.com/timeblob/timeblob/internal/tracing"

// spans are Get, of the blobs that memory does not have, and read and write, of
// one tier.
const spans = tracing.Scope("tiered")
