package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// marked is the topology whose nodes identify posts. The posted reports have no other nodes in it.
const marked = report.Overlay

// body is a captured report that can be posted many times. A post is two gzip members: the head of the report
// with the post's own node, and the rest, which is compressed once.
type body struct {
	fields uint32 // the number of the report's fields, including the marked topology
	rest   []byte
}

// loadBodies reads the reports in a directory, as so many nodes post them. The first index is the node.
func loadBodies(dir string, nodes int) ([][]body, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.msgpack.gz"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no files *.msgpack.gz: run it where the project is, or say -reports DIR", dir)
	}
	slices.Sort(paths)
	bodies := make([][]body, nodes)
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for node := range nodes {
			b, err := nodeBody(file, node)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			bodies[node] = append(bodies[node], b)
		}
	}
	return bodies, nil
}

// nodeBody prepares the report in a file as a node posts it.
func nodeBody(file []byte, node int) (b body, err error) {
	if file, err = ofNode(file, node); err == nil {
		b, err = newBody(file)
	}
	return b, err
}

// newBody prepares the report in a file.
func newBody(file []byte) (b body, err error) {
	plain, err := wire.ReadBody(bytes.NewReader(file), true, wire.DefaultMaxBytes)
	if err != nil {
		return b, err
	}
	n, plain, err := msgp.ReadMapHeaderBytes(plain)
	if err != nil {
		return b, err
	}
	b.fields = 1
	var kept []byte
	for range n {
		field := plain
		var name []byte
		if name, plain, err = msgp.ReadStringZC(plain); err == nil {
			plain, err = msgp.Skip(plain)
		}
		if err != nil {
			return b, err
		}
		if string(name) != marked.Wire() {
			b.fields++
			kept = append(kept, field[:len(field)-len(plain)]...)
		}
	}
	b.rest, err = compress(kept, gzip.DefaultCompression)
	return b, err
}

// post returns the two parts of a post with a node of the given id.
func (b body) post(id string) (head, rest []byte, err error) {
	m := msgp.AppendMapHeader(nil, b.fields)
	m = msgp.AppendString(m, marked.Wire())
	m = msgp.AppendMapHeader(m, 1)
	m = msgp.AppendString(m, "nodes")
	m = msgp.AppendMapHeader(m, 1)
	m = msgp.AppendString(m, id)
	m = msgp.AppendMapHeader(m, 1)
	m = msgp.AppendString(m, "topology")
	m = msgp.AppendString(m, marked.Name())
	head, err = compress(m, gzip.StatelessCompression)
	return head, b.rest, err
}

// tiny returns a report of one node, compressed with gzip.
func tiny(id string) ([]byte, error) {
	r := report.New()
	r.ID = id // as probes' reports have one
	r.Sampling = report.Sampling{Count: 1, Total: 1}
	r.Topologies[marked].Nodes = []*report.Node{{ID: id, Topology: marked.Name()}}
	plain, err := wire.AppendMsgpack(nil, r)
	if err != nil {
		return nil, err
	}
	return compress(plain, gzip.StatelessCompression)
}

func compress(plain []byte, level int) ([]byte, error) {
	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		return nil, err
	}
	if _, err := zw.Write(plain); err != nil {
		return nil, err
	}
	err = zw.Close()
	return packed.Bytes(), err
}
