package wire

import (
	"math"
	"sync"

	"github.com/timeblob/timeblob/reports/report"
	"github.com/timeblob/timeblob/reports/report/internal/sorted"
)

// DecodeMsgpack reads a report from msgpack that is not compressed.
//
// It takes strings in the raw, str and bin formats, numbers of any width, nil
// for any field, and skips fields it does not know. Sets and maps are sorted;
// of equal keys the last counts. A node is named by its key in the map of nodes,
// except that a copy that [AppendMsgpack] sets apart is restored. Old forms of
// controls and counters become latest values; what counters lack in time is the
// report's.
//
// It allocates at most 16 times the length of data, plus a constant. The result
// holds on to at most about twice its [report.Size], and not to data. An error is
// a [*SyntaxError].
func DecodeMsgpack(data []byte) (*report.Report, error) {
	r, _, err := decodeMsgpack(data, len(data))
	return r, err
}

// decodeMsgpack is DecodeMsgpack of data that was made from size bytes. It also
// reports whether data holds nothing that [AppendMsgpack] would not write, or
// would write in another way.
func decodeMsgpack(data []byte, size int) (r *report.Report, native bool, err error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	r, by, err := d.decode(data, memoryLimit(size))
	if err == nil && by.spent > memoryFree && by.spent > 2*report.SizeOfLists(r) {
		r, err = d.repack(r)
	}
	return r, !by.foreign, err
}

// kinds finds a kind of topology by its name on the wire.
var kinds = func() map[string]report.Kind {
	m := make(map[string]report.Kind, report.KindCount)
	for k := range report.Kind(report.KindCount) {
		m[k.Wire()] = k
	}
	return m
}()

// decoders keeps decoders for the strings that they have seen lately: the next
// report shares its keys with the one before.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decode returns the report in data.
func (d *decoder) decode(data []byte, limit int64) (r *report.Report, by effort, err error) {
	*d = decoder{in: data, limit: limit, left: limit, scratch: d.scratch}
	defer func() { *d = decoder{scratch: d.scratch.cleared()} }()
	r = report.New()
	d.report(r)
	if d.err == nil && d.at < len(d.in) {
		d.fail(ErrTrailing)
	}
	if d.err != nil {
		return nil, by, d.failure()
	}
	d.stampCounters(r)
	return r, effort{limit - d.left, d.foreign}, nil
}

// repack returns a report that holds on to less than r, whose memory has room
// for much that it does not hold: elements whose keys came again, old forms.
func (d *decoder) repack(r *report.Report) (*report.Report, error) {
	plain, err := AppendMsgpack(nil, r)
	if err != nil {
		return nil, err
	}
	r, _, err = d.decode(plain, math.MaxInt64)
	return r, err
}

func (d *decoder) report(r *report.Report) {
	if d.null() {
		d.malformed("nil is not a report")
	}
	for name := range d.fields {
		if k, ok := kinds[string(name)]; ok {
			d.topology(&r.Topologies[k], k)
			continue
		}
		d.reportField(r, name)
	}
}

func (d *decoder) reportField(r *report.Report, name []byte) {
	switch string(name) {
	case "TS":
		r.TS = d.instant().Time()
	case "DNS":
		r.DNS = d.dns()
	case "nodes":
		d.foreign = true
		r.LegacyDNS = d.dns()
	case "Sampling":
		r.Sampling = d.sampling()
	case "Window":
		r.Window = d.duration()
	case "Shortcut":
		r.Shortcut = d.bool()
	case "Plugins":
		r.Plugins = sorted.Unique(list(d, nil, (*decoder).plugin), (*report.PluginSpec).Compare)
	case "ID":
		r.ID = d.text()
	default:
		d.skip()
	}
}

func (d *decoder) sampling() (s report.Sampling) {
	for name := range d.fields {
		switch string(name) {
		case "Count":
			s.Count = d.unsigned()
		case "Total":
			s.Total = d.unsigned()
		default:
			d.skip()
		}
	}
	return s
}

func (d *decoder) dns() []report.DNSRecord {
	return keyed(d, nil, (*decoder).dnsRecord, (*report.DNSRecord).Compare)
}

func (d *decoder) dnsRecord(address string, r *report.DNSRecord) {
	r.Address = address
	for name := range d.fields {
		switch string(name) {
		case "forward":
			r.Forward = d.set()
		case "reverse":
			r.Reverse = d.set()
		default:
			d.skip()
		}
	}
}

func (d *decoder) plugin(p *report.PluginSpec) {
	for name := range d.fields {
		switch string(name) {
		case "id":
			p.ID = d.text()
		case "label":
			p.Label = d.text()
		case "description":
			p.Description = d.text()
		case "interfaces":
			p.Interfaces = d.list()
		case "api_version":
			p.APIVersion = d.text()
		case "status":
			p.Status = d.text()
		default:
			d.skip()
		}
	}
}
