package remote_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/remote"
	"github.com/timeblob/timeblob/tiered"
)

// collectors starts three collectors with a handler each, on an index and a blob
// store that they share. It returns the URLs.
func collectors(idx index.Index, blobs *tiered.Store[counts]) (urls []string, stop func()) {
	var servers []*httptest.Server
	for range 3 {
		c, err := bucket.NewCollector(idx, blobs, addUp, nil)
		check(err)
		check(c.Add(context.Background(), "acme", counts{"GET": 1}, nil))
		h, err := remote.NewHandler(c, jsonCodec{}, nil)
		check(err)
		servers = append(servers, httptest.NewServer(h))
		urls = append(urls, servers[len(servers)-1].URL)
	}
	return urls, func() {
		for _, s := range servers {
			s.Close()
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A querier asks three collectors in other processes for what the index does not
// have yet.
func ExampleNewClient() {
	ctx, idx := context.Background(), index.NewMemIndex()
	blobs, err := tiered.New(jsonCodec{}, &tiered.MemTier{}, nil)
	check(err)
	urls, stop := collectors(idx, blobs)
	defer stop()

	var sources []bucket.Source[counts]
	for _, url := range urls {
		client, err := remote.NewClient(url, jsonCodec{}, nil)
		check(err)
		sources = append(sources, client)
	}
	querier, err := bucket.NewQuerier(idx, blobs, addUp, nil)
	check(err)
	now := time.Now()
	answer, err := querier.Range(ctx, "acme", now.Add(-time.Hour), now.Add(time.Hour), sources, nil)
	check(err)
	fmt.Println(answer.Value, answer.Entries, len(answer.Missing))
	// Output: map[GET:3] 3 0
}

// A handler serves what a collector holds at URL/held, and its answers at
// URL/range, URL/steps and URL/values.
func ExampleNewHandler() {
	ctx := context.Background()
	blobs, err := tiered.New(jsonCodec{}, &tiered.MemTier{}, nil)
	check(err)
	collector, err := bucket.NewCollector(index.NewMemIndex(), blobs, addUp, nil)
	check(err)
	handler, err := remote.NewHandler(collector, jsonCodec{}, &remote.HandlerOptions[counts]{Questions: collector})
	check(err)
	server := httptest.NewServer(handler)
	defer server.Close()

	day := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	for hour := range 3 {
		check(collector.Add(ctx, "acme", counts{"GET": hour + 1}, &bucket.AddOptions{At: day.Add(time.Duration(hour) * time.Hour)}))
	}
	client, err := remote.NewClient(server.URL, jsonCodec{}, nil)
	check(err)
	for step, err := range client.Steps(ctx, "acme", day, day.Add(3*time.Hour), time.Hour, nil) {
		check(err)
		fmt.Println(step.From.UTC().Format(time.TimeOnly), step.Value, step.Entries)
	}
	// Output:
	// 00:00:00 map[GET:1] 1
	// 01:00:00 map[GET:2] 1
	// 02:00:00 map[GET:3] 1
}

// A process that holds nothing itself serves what a querier answers.
func ExampleAcross() {
	idx := index.NewMemIndex()
	blobs, err := tiered.New(jsonCodec{}, &tiered.MemTier{}, nil)
	check(err)
	urls, stop := collectors(idx, blobs)
	defer stop()
	sources := func() (all []bucket.Source[counts]) {
		for _, url := range urls {
			client, err := remote.NewClient(url, jsonCodec{}, nil)
			check(err)
			all = append(all, client)
		}
		return all
	}
	querier, err := bucket.NewQuerier(idx, blobs, addUp, nil)
	check(err)
	handler, err := remote.NewHandler(nil, jsonCodec{}, &remote.HandlerOptions[counts]{Questions: remote.Across(querier, sources)})
	check(err)
	server := httptest.NewServer(handler)
	defer server.Close()

	client, err := remote.NewClient(server.URL, jsonCodec{}, nil)
	check(err)
	now := time.Now()
	answer, err := client.Range(context.Background(), "acme", now.Add(-time.Hour), now.Add(time.Hour), nil)
	check(err)
	fmt.Println(answer.Value, answer.Entries)
	// Output: map[GET:3] 3
}
