package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/timeblob/timeblob/natsbus"
)

// A program starts without its NATS server, and goes on without it.
func ExampleOpen() {
	bus, err := natsbus.Open("nats://scope:secret@127.0.0.1:1", &natsbus.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	unsubscribe, err := bus.Subscribe("acme", func(payload []byte) { fmt.Printf("heard %s\n", payload) })
	fmt.Println(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(errors.Is(bus.Publish(ctx, "acme", []byte("hello")), natsbus.ErrDisconnected))
	unsubscribe()
	fmt.Println(bus.Close())
	// Output:
	// <nil>
	// true
	// <nil>
}
