# Two commands are enough to start: make run starts a collector with sample reports, make test runs every check.
LISTEN   ?= 127.0.0.1:4040
DATA     ?= ./data
FUZZTIME ?= 5s
BENCH    ?= .
TESTARGS ?=
LOAD     ?=
PEERS    ?=

export LISTEN DATA FUZZTIME

.PHONY: build run test lint api fuzz bench peers plots load pgo clean

# The tag leaves out a debug page of gRPC, which sends spans. With that page the linker would keep the whole AWS SDK,
# and the command would have 57 MB instead of 42. The profile tells the compiler what to inline; "make pgo" renews it.
build:
	go build -tags grpcnotrace -pgo=deploy/collector.pgo -o bin/collector ./reports/cmd/collector

# Runs the collector on an embedded store in $(DATA) and posts the sample reports to it, until Ctrl-C.
run: build
	@scripts/run-demo

# Runs every test under the race detector, against real servers. It installs missing servers.
test:
	@scripts/install-servers
	@scripts/test $(TESTARGS)

lint:
	@scripts/lint

# Writes the exported API to the files in api. make lint fails while they differ.
api:
	@go run -C scripts/check ./api -C $(CURDIR) -write

# Runs every fuzz target for $(FUZZTIME). FUZZTIME=3m takes about an hour.
fuzz:
	@scripts/fuzz

# Runs the benchmarks whose names match $(BENCH).
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./bench

# Compares our caches, stores and codecs with other libraries on the same work. PEERS='-run cache -rounds 3' does less.
peers:
	cd bench/peers && go run . $(PEERS)

# Draws what a question costs by the blobs of a quantum, and what a tick costs by tenants, to bench/plots.
plots:
	@scripts/plots

# Drives a collector with the reports of 1000 tenants for five minutes, or as the flags in $(LOAD) say: LOAD="-store aws"
# starts DynamoDB Local, versitygw and memcached for it.
load:
	go run ./bench/load $(LOAD)

# Renews deploy/collector.pgo, the CPU profile of a collector under load by which make build compiles the command.
pgo:
	@scripts/pgo

clean:
	rm -rf bin data .tools *.test *.out bench/*.test bench/*.out
