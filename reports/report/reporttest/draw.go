package reporttest

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/timeblob/timeblob/reports/report"
)

func drawControl(t *rapid.T) report.Control {
	return report.Control{
		Key: name(t), ID: name(t), Human: text(t), Icon: text(t), Confirmation: text(t),
		Rank: rapid.IntRange(-1, 3).Draw(t, "rank"), ProbeID: text(t),
	}
}

func drawMetadataTemplate(t *rapid.T) report.MetadataTemplate {
	return report.MetadataTemplate{
		Key: name(t), ID: name(t), Label: text(t), Truncate: rapid.IntRange(0, 12).Draw(t, "truncate"),
		DataType: text(t), Priority: number(t), From: text(t),
	}
}

func drawMetricTemplate(t *rapid.T) report.MetricTemplate {
	return report.MetricTemplate{
		Key: name(t), ID: name(t), Label: text(t), Format: text(t), Group: text(t), Priority: number(t),
	}
}

func drawTableTemplate(t *rapid.T) report.TableTemplate {
	columns := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) report.Column {
		return report.Column{ID: name(t), Label: text(t), DataType: text(t)}
	}), 0, 3).Draw(t, "columns")
	return report.TableTemplate{
		Key: name(t), ID: name(t), Label: text(t), Prefix: text(t), Type: text(t), Columns: orNil(columns),
		FixedRows: keyed(t, "fixed rows", func(t *rapid.T) report.FixedRow {
			return report.FixedRow{Key: name(t), Label: text(t)}
		}, func(r report.FixedRow) string { return r.Key }),
	}
}

func drawDNS(t *rapid.T) []report.DNSRecord {
	return keyed(t, "DNS", func(t *rapid.T) report.DNSRecord {
		return report.DNSRecord{Address: name(t), Forward: names(t, "forward"), Reverse: names(t, "reverse")}
	}, func(d report.DNSRecord) string { return d.Address })
}

func drawPlugin(t *rapid.T) report.PluginSpec {
	return report.PluginSpec{
		ID: name(t), Label: text(t), Description: text(t),
		Interfaces: orNil(rapid.SliceOfN(rapid.Custom(text), 0, 2).Draw(t, "interfaces")),
		APIVersion: text(t), Status: text(t),
	}
}

// keyed draws up to three elements, sorted by key, each key once.
func keyed[E any](t *rapid.T, label string, draw func(*rapid.T) E, key func(E) string) []E {
	list := rapid.SliceOfNDistinct(rapid.Custom(draw), 0, 3, key).Draw(t, label)
	slices.SortFunc(list, func(a, b E) int { return strings.Compare(key(a), key(b)) })
	return orNil(list)
}

// names draws a sorted set of names.
func names(t *rapid.T, label string) []string {
	return keyed(t, label, name, func(s string) string { return s })
}

// name draws what may be a key.
func name(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "a;b", "a;<host>"}).Draw(t, "name")
}

// text draws what may be a value, empty and longer than a short header holds
// included.
func text(t *rapid.T) string {
	if rapid.IntRange(0, 49).Draw(t, "long") == 0 {
		return strings.Repeat("é", rapid.SampledFrom([]int{16, 128, 33_000}).Draw(t, "length"))
	}
	return rapid.SampledFrom([]string{"", "", "x", "y", "ein längerer Wert, quoted \"so\" <&>\u2028"}).Draw(t, "text")
}

func number(t *rapid.T) float64 {
	return rapid.SampledFrom([]float64{0, 1, 2, -3.5, 0.1, 1e300}).Draw(t, "number")
}

// orNil returns nil for an empty list, so that equal reports are deeply equal.
func orNil[E any](list []E) []E {
	if len(list) == 0 {
		return nil
	}
	return list
}
