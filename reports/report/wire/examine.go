package wire

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

// Examine checks a posted report, which must be gzip, and counts its nodes. If the report has the form in
// which probes write reports, Examine does not decode it: it costs little more
// than inflating the blob, and allocates almost nothing. Otherwise it costs as much
// as Decode, Validate and Upgrade. The error is the error of DecodeToKeep.
func (c Codec) Examine(blob []byte) (*Facts, error) {
	b := buffers.Get().(*buffer)
	defer b.release()
	plain, err := inflateBlob(b.plain[:0], blob, c.limit())
	b.plain = plain
	if err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	return examine(plain, len(blob))
}

// examine is Examine of the report in plain, whose blob is size bytes long.
func examine(plain []byte, size int) (*Facts, error) {
	if f, ok := scan(plain); ok {
		f.Keep = packedWell(size, len(plain))
		return f, nil
	}
	r, native, err := decodeMsgpack(plain, len(plain))
	if err != nil {
		return nil, err
	}
	f := &Facts{Keep: native && packedWell(size, len(plain)), Shortcut: r.Shortcut, HasID: r.ID != ""}
	for k := range r.Topologies {
		f.nodes[k] = len(r.Topologies[k].Nodes)
	}
	if f.Fault = report.ValidateDecoded(r); f.Fault == nil {
		_, f.Fault = report.Upgrade(r)
	}
	return f, nil
}

// scan returns what a collector needs to know of the report in plain; ok is
// false when the report must be decoded for that.
func scan(plain []byte) (facts *Facts, ok bool) {
	s := scanner{in: plain, spent: -memoryLimit(len(plain))}
	ok = s.report() && s.at == len(plain) && s.spent <= 0 &&
		(s.pods == 0 || s.replicas <= report.MaxDeployments/s.pods) && s.hostsDiffer()
	return &s.facts, ok
}

// hostsDiffer reports whether no host occurs twice: the number of hosts decides
// how many nodes the report may hold. Of other nodes too many may be counted.
func (s *scanner) hostsDiffer() bool {
	if len(s.hosts) < 2 {
		return true
	}
	seen := make(map[string]bool, len(s.hosts))
	for _, id := range s.hosts {
		seen[string(id)] = true
	}
	return len(seen) == len(s.hosts)
}

func (s *scanner) report() bool {
	if len(s.in) == 0 || s.in[0] == mpNil {
		return false
	}
	n, ok := s.open(mpFixMap, mpMap16)
	for range n {
		name := s.raw()
		if name == nil {
			return false
		}
		k, isKind := kinds[string(name)]
		if isKind {
			ok = s.topology(k)
		} else {
			ok = s.reportField(name)
		}
		if !ok {
			return false
		}
	}
	return ok
}

func (s *scanner) reportField(name []byte) bool {
	switch string(name) {
	case "TS":
		return s.stamp()
	case "DNS":
		return s.dns()
	case "Sampling":
		return s.fields(func(name []byte) bool {
			return (string(name) == "Count" || string(name) == "Total") && s.natural()
		})
	case "Window":
		return s.natural()
	case "Shortcut":
		return s.shortcut()
	case "Plugins":
		n, ok := s.open(mpFixList, mpList16)
		s.spend(n, unsafe.Sizeof(report.PluginSpec{}))
		return ok && s.times(n, s.plugin)
	case "ID":
		id := s.raw()
		s.facts.HasID = len(id) > 0
		return id != nil
	}
	return false
}

// stamp scans the time of a report, which must be one that Validate lets pass.
func (s *scanner) stamp() bool {
	b := s.raw()
	if len(b) != timeLength || b[0] != 1 {
		return false
	}
	i := binaryInstant(b)
	seconds := i.Time().Unix()
	return isWritable(i) && (i.IsZero() || 0 <= seconds && seconds < math.MaxInt64/1_000_000_000)
}

func (s *scanner) shortcut() bool {
	if s.at == len(s.in) || s.in[s.at]&^1 != mpFalse {
		return false
	}
	s.facts.Shortcut = s.in[s.at] != mpFalse
	s.at++
	return true
}

func (s *scanner) dns() bool {
	n, ok := s.open(mpFixMap, mpMap16)
	s.spend(n, unsafe.Sizeof(report.DNSRecord{}))
	return ok && s.times(n, func() bool {
		return s.name() && s.fields(func(name []byte) bool {
			return (string(name) == "forward" || string(name) == "reverse") && s.texts()
		})
	})
}

func (s *scanner) plugin() bool {
	return s.fields(func(name []byte) bool {
		switch string(name) {
		case "id", "label", "description", "api_version", "status":
			return s.text()
		case "interfaces":
			return s.texts()
		}
		return false
	})
}
