package reports_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/reports"
	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/tiered"
)

// A collector takes a report, stores it, and answers for a past window.
func ExampleNew() {
	ctx := context.Background()
	now := time.Date(2026, 11, 22, 7, 34, 30, 0, time.UTC)
	c, err := reports.New(index.NewMemIndex(), new(tiered.MemTier), &reports.Options{Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	r := report.New()
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: "db-1;<host>"}}
	if err := c.Add(ctx, "acme", r, reports.Origin{}); err != nil {
		log.Fatal(err)
	}
	if err := c.Flush(ctx); err != nil { // Run does it every tick
		log.Fatal(err)
	}
	past, err := c.Range(ctx, "acme", now.Add(-time.Minute), now.Add(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Summary(past))
	fmt.Println(c.Close(ctx))
	// Output:
	// db-1;<host>: host:1
	// <nil>
}
