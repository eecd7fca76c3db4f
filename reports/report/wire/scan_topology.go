package wire

import (
	"unsafe"

	"github.com/timeblob/timeblob/reports/report"
)

func (s *scanner) topology(k report.Kind) bool {
	if s.seen&(1<<k) != 0 {
		return false
	}
	s.kind = k
	s.seen |= 1 << k
	return s.fields(s.topologyField)
}

func (s *scanner) topologyField(name []byte) bool {
	switch string(name) {
	case "shape", "tag", "label", "label_plural":
		return s.text()
	case "nodes":
		return s.facts.nodes[s.kind] == 0 && s.nodes()
	case "controls":
		return s.keyed(unsafe.Sizeof(report.Control{}), s.controlField)
	case "metadata_templates":
		return s.keyed(unsafe.Sizeof(report.MetadataTemplate{}), s.metadataField)
	case "metric_templates":
		return s.keyed(unsafe.Sizeof(report.MetricTemplate{}), s.metricTemplateField)
	case "table_templates":
		return s.keyed(unsafe.Sizeof(report.TableTemplate{}), s.tableField)
	}
	return false
}

// keyed scans a map of keys to maps of fields.
func (s *scanner) keyed(size uintptr, field func(name []byte) bool) bool {
	n, ok := s.open(mpFixMap, mpMap16)
	s.spend(n, size)
	for range n {
		if !s.text() || !s.fields(field) {
			return false
		}
	}
	return ok
}

func (s *scanner) controlField(name []byte) bool {
	switch string(name) {
	case "id", "human", "icon", "confirmation", "probeId":
		return s.text()
	case "rank":
		return s.natural()
	}
	return false
}

func (s *scanner) metadataField(name []byte) bool {
	switch string(name) {
	case "id", "label", "dataType", "from":
		return s.text()
	case "truncate":
		return s.natural()
	case "priority":
		return s.number()
	}
	return false
}

func (s *scanner) metricTemplateField(name []byte) bool {
	switch string(name) {
	case "id", "label", "format", "group":
		return s.text()
	case "priority":
		return s.number()
	}
	return false
}

func (s *scanner) tableField(name []byte) bool {
	switch string(name) {
	case "id", "label", "prefix", "type":
		return s.text()
	case "columns":
		n, ok := s.open(mpFixList, mpList16)
		s.spend(n, unsafe.Sizeof(report.Column{}))
		return ok && s.times(n, func() bool {
			return s.fields(func(name []byte) bool {
				return (string(name) == "id" || string(name) == "label" || string(name) == "dataType") && s.text()
			})
		})
	case "fixedRows":
		n, ok := s.open(mpFixMap, mpMap16)
		s.spend(n, unsafe.Sizeof(report.FixedRow{}))
		return ok && s.times(2*n, s.text)
	}
	return false
}

func (s *scanner) nodes() bool {
	n, ok := s.open(mpFixMap, mpMap16)
	if !ok {
		return false
	}
	s.facts.nodes[s.kind] = n
	s.spend(n, placeSize+unsafe.Sizeof(report.Node{}))
	for range n {
		key := s.raw()
		if len(key) == 0 || !isName(key) || marked(key) || !s.node() {
			return false
		}
		if s.kind == report.Host {
			if len(s.hosts) == maxHosts {
				return false
			}
			s.hosts = append(s.hosts, key)
		}
	}
	return true
}

func (s *scanner) node() bool {
	n, ok := s.open(mpFixMap, mpMap16)
	for range n {
		name := s.raw()
		if name == nil || !s.nodeField(name) {
			return false
		}
	}
	return ok
}

func (s *scanner) nodeField(name []byte) bool {
	switch string(name) {
	case "id":
		return s.text()
	case "topology":
		return s.name()
	case "sets":
		_, ok := s.sets()
		return ok
	case "adjacency":
		return s.texts()
	case "latest":
		return s.latest()
	case "metrics":
		return s.metrics()
	case "parents":
		n, ok := s.sets()
		s.countParents(n)
		return ok
	case "children":
		n, ok := s.open(mpFixList, mpList16)
		return ok && n == 0
	}
	return false
}

// countParents counts the parents of pods and of replica sets: each pod may get
// the parents of each of its replica sets when the report is upgraded.
func (s *scanner) countParents(n int) {
	switch s.kind {
	case report.Pod:
		s.pods += n
	case report.ReplicaSet:
		s.replicas += n
	}
}

// sets scans sets of strings, and returns how many strings they hold or more.
func (s *scanner) sets() (values int, ok bool) {
	n, ok := s.open(mpFixMap, mpMap16)
	if !ok {
		return 0, false
	}
	s.spend(n, unsafe.Sizeof(report.StringSet{}))
	for range n {
		before := s.spent
		if !s.name() || !s.texts() {
			return 0, false
		}
		values += int((s.spent - before) / int64(unsafe.Sizeof("")))
	}
	return values, true
}

// latest scans the latest values of a node: most of the bytes of a report.
func (s *scanner) latest() bool {
	n, ok := s.open(mpFixMap, mpMap16)
	if !ok {
		return false
	}
	s.spend(n, unsafe.Sizeof(report.Latest{}))
	s.spend(1, unsafe.Sizeof(report.Keys{}))
	in, at := s.in, s.at
	for range n {
		key, keyEnd := rawAt(in, at)
		if keyEnd == 0 || !isLatestHead(in, keyEnd) || !isName(in[key:keyEnd]) {
			return false
		}
		if _, at = rawAt(in, keyEnd+latestForm); at == 0 {
			return false
		}
	}
	s.at = at
	return true
}

func (s *scanner) metrics() bool {
	n, ok := s.open(mpFixMap, mpMap16)
	if !ok {
		return false
	}
	s.spend(n, unsafe.Sizeof(report.Metric{}))
	return s.times(n, func() bool { return s.name() && s.fields(s.metricField) })
}

func (s *scanner) metricField(name []byte) bool {
	switch string(name) {
	case "min", "max":
		return s.number()
	case "samples":
		n, ok := s.open(mpFixList, mpList16)
		s.spend(n, unsafe.Sizeof(report.Sample{}))
		return ok && s.times(n, s.sample)
	}
	return false
}

// The form in which every probe writes a sample: sampleHead, 15 bytes of time,
// sampleBody, and the value.
const (
	sampleHead = "\x82\xa4date\xaf"
	sampleBody = "\xa5value"
	sampleForm = len(sampleHead) + timeLength + len(sampleBody)
)

func (s *scanner) sample() bool {
	if !isSampleHead(s.in[s.at:]) {
		return false
	}
	s.at += sampleForm
	return s.number()
}

// isSampleHead reports whether what stands before the value of a sample has its
// usual form, with a time that every format can write.
func isSampleHead(in []byte) bool {
	if len(in) < sampleForm {
		return false
	}
	form := in[:sampleForm]
	stamp := form[len(sampleHead) : len(sampleHead)+timeLength]
	return isWritable(binaryInstant(stamp)) && stamp[0] == 1 && string(form[:len(sampleHead)]) == sampleHead && string(form[len(sampleHead)+timeLength:]) == sampleBody
}

// maxHosts is how many hosts a report may have to be scanned. A probe has one.
const maxHosts = 256
