package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/wire"
)

// ids finds what tells one node from another in a report's JSON: the ids of containers, images and pods.
var ids = regexp.MustCompile(`[0-9a-f]{12,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}`)

// ofNode returns the captured report in a file as another node's: with another host name and other ids of the
// same length. Node 0 is the captured one.
func ofNode(file []byte, node int) ([]byte, error) {
	if node == 0 {
		return file, nil
	}
	plain, err := wire.ReadBody(bytes.NewReader(file), true, wire.DefaultMaxBytes)
	if err != nil {
		return nil, err
	}
	r, err := wire.DecodeMsgpack(plain)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	for _, host := range r.Topologies[report.Host].Nodes {
		name, _, _ := bytes.Cut([]byte(host.ID), []byte(";"))
		text = bytes.ReplaceAll(text, name, fmt.Appendf(nil, "node-%d.%s", node, name))
	}
	text = ids.ReplaceAllFunc(text, func(id []byte) []byte { return turned(id, node) })
	other := report.New()
	if err := json.Unmarshal(text, other); err != nil {
		return nil, fmt.Errorf("node %d: %w", node, err)
	}
	return wire.Codec{}.Encode(other)
}

// turned returns an id with each digit and each letter moved on by n, so that numbers stay numbers.
func turned(id []byte, n int) []byte {
	other := bytes.Clone(id)
	for i, c := range id {
		switch {
		case c >= '0' && c <= '9':
			other[i] = '0' + byte((int(c-'0')+n)%10)
		case c >= 'a' && c <= 'f':
			other[i] = 'a' + byte((int(c-'a')+n)%6)
		}
	}
	return other
}

// written returns how many bytes a process has had the disk write, and false where the system does not tell.
func written(pid int) (n int64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, false
	}
	at := bytes.Index(text, []byte("\nwrite_bytes: "))
	if at < 0 {
		return 0, false
	}
	_, err = fmt.Sscanf(string(text[at:]), "\nwrite_bytes: %d", &n)
	return n, err == nil
}
