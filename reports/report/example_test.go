package report_test

import (
	"fmt"
	"time"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

func ExampleCodec() {
	r := report.New()
	r.Window = 3 * time.Second
	r.Topologies[report.Host].Nodes = []*report.Node{{ID: "db-1;<host>", Topology: report.Host.Name()}}

	var codec wire.Codec
	blob, err := codec.Encode(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := codec.Decode(blob)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(back.Window, back.Topologies[report.Host].Nodes[0].ID)

	_, err = codec.Decode(blob[:len(blob)/2])
	fmt.Println(err)
	// Output:
	// 3s db-1;<host>
	// decode report: gunzip: it ends too early
}

func ExampleSyntaxError() {
	_, err := wire.DecodeJSON([]byte(`{"Host": {"nodes": {"db-1;<host>": {"latest": {"pid": {"value": 7}}}}}}`))
	fmt.Println(err)
	// Output:
	// decode report: Host.nodes["db-1;<host>"].latest["pid"].value: malformed: msgp: attempted to decode type "int" with method for "str"
}
