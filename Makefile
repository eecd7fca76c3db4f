# The two commands to know: make run shows the collector at work, make test checks everything.
LISTEN   ?= 127.0.0.1:4040
DATA     ?= ./data
FUZZTIME ?= 5s
BENCH    ?= .
TESTARGS ?=
LOAD     ?=
PEERS    ?=

export LISTEN DATA FUZZTIME

.PHONY: build run test lint api fuzz bench peers load clean

# The tag leaves out of gRPC, by which spans may be sent, a page that nobody asks for; with it the linker keeps all
# of the AWS SDK, and the command is of 57 MB in place of 42.
build:
	go build -tags grpcnotrace -o bin/collector ./reports/cmd/collector

# The collector on its embedded store in $(DATA), fed with the sample reports; until Ctrl-C.
run: build
	@scripts/run-demo

# Every test under the race detector, against real servers, which are installed when missing.
test:
	@scripts/install-servers
	@scripts/test $(TESTARGS)

lint:
	@scripts/lint

# Brings the files in api up to date with the exported API; make lint fails while they differ.
api:
	@go run -C scripts/check ./api -C $(CURDIR) -write

# Every fuzz target for $(FUZZTIME).
fuzz:
	@scripts/fuzz

# The benchmarks whose names match $(BENCH).
bench:
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./bench

# Caches, stores and codecs of others beside ours, on the same work; PEERS='-run cache -rounds 3' does less.
peers:
	cd bench/peers && go run . $(PEERS)

# A collector under the reports of 1000 tenants for five minutes, or as the flags in $(LOAD) say.
load:
	go run ./bench/load $(LOAD)

clean:
	rm -rf bin data .tools *.test *.out bench/*.test bench/*.out
