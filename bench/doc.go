// Package bench has benchmarks of the whole system on reports that were captured from probes. To profile one:
//
//	go test -run '^$' -bench Decode -cpuprofile cpu.out ./bench
//	go tool pprof -http 127.0.0.1:8080 bench.test cpu.out
//
// Benchmarks of the codec report their time as a multiple of gzip's time for the same bytes in the same run,
// because absolute times of different machines or runs do not compare.
package bench
