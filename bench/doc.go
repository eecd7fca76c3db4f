// Package bench holds the benchmarks of the whole, on reports that were
// captured from probes. Profile one with
//
//	go test -run '^$' -bench Decode -cpuprofile cpu.out ./bench
//	go tool pprof -http 127.0.0.1:8080 bench.test cpu.out
//
// The benchmarks of codec and compression report their time as a multiple of
// what gzip alone takes for the same bytes in the same run, since times do
// not compare between machines or runs.
package bench
