package wire

import (
	"encoding/binary"
	"math"

	"github.com/tinylib/msgp/msgp"

	"github.com/timeblob/timeblob/reports/report"
)

func (e *encoder) packSets(dst []byte, sets []report.StringSet) []byte {
	if len(sets) == 0 {
		return append(dst, mpNil)
	}
	e.elements += len(sets)
	dst = msgp.AppendMapHeader(dst, uint32(len(sets)))
	for i := range sets {
		dst = e.packTexts(appendRaw(dst, sets[i].Key), sets[i].Values)
	}
	return dst
}

func (e *encoder) packTexts(dst []byte, texts []string) []byte {
	if len(texts) == 0 {
		return append(dst, mpNil)
	}
	e.elements += len(texts)
	dst = msgp.AppendArrayHeader(dst, uint32(len(texts)))
	for _, text := range texts {
		dst = appendRaw(dst, text)
	}
	return dst
}

// packLatest writes entries in the form of [latestForm], most of the bytes of a
// report, piece by piece instead of value by value.
func (e *encoder) packLatest(dst []byte, values report.Values) []byte {
	const form = latestHead + "\x01............\xff\xff" + latestBody
	list := values.Stamped()
	e.elements += len(list)
	dst = msgp.AppendMapHeader(dst, uint32(len(list)))
	for i, key := range values.Keys().Names() {
		l := &list[i]
		dst = appendRaw(dst, key)
		stamp := len(dst) + len(latestHead) + 1
		dst = append(dst, form...)
		e.packTime(dst[stamp:], l.Timestamp)
		dst = appendRaw(dst, l.Value)
	}
	return dst
}

func (e *encoder) packMetrics(dst []byte, metrics []report.Metric) []byte {
	e.elements += len(metrics)
	dst = msgp.AppendMapHeader(dst, uint32(len(metrics)))
	for i := range metrics {
		m := &metrics[i]
		dst = appendRaw(dst, m.Key)
		if len(m.Samples) > 0 {
			dst = e.packSamples(append(dst, metricHead...), m.Samples)
		} else {
			dst = append(dst, mpFixMap|2)
		}
		dst = binary.BigEndian.AppendUint64(append(dst, metricMin...), math.Float64bits(m.Min))
		dst = binary.BigEndian.AppendUint64(append(dst, metricMax...), math.Float64bits(m.Max))
	}
	return dst
}

func (e *encoder) packSamples(dst []byte, samples []report.Sample) []byte {
	const form = sampleHead + "\x01............\xff\xff" + sampleBody + "\xcb"
	e.elements += len(samples)
	dst = msgp.AppendArrayHeader(dst, uint32(len(samples)))
	for i := range samples {
		stamp := len(dst) + len(sampleHead) + 1
		dst = append(dst, form...)
		e.packTime(dst[stamp:], samples[i].Date)
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(samples[i].Value))
	}
	return dst
}

// packTime writes an instant to the 12 bytes of a form. It fails if not every
// format can write it.
func (e *encoder) packTime(form []byte, i report.Instant) {
	if e.inRange(i) {
		binary.BigEndian.PutUint64(form, uint64(i.Seconds))
		binary.BigEndian.PutUint32(form[8:], uint32(i.Nanos))
	}
}
