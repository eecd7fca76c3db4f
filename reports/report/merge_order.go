package report

import (
	"cmp"
	"slices"
	"strings"
)

// The total orders, stated at [Merge], that choose among entries of one key.
// Zero means equal by meaning.

func preferLatest(a, b *Latest) int {
	if c := a.Timestamp.Compare(b.Timestamp); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

func preferSample(a, b *Sample) int { return cmp.Compare(a.Value, b.Value) }

func preferControl(a, b *Control) int {
	return cmp.Or(
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Human, b.Human),
		strings.Compare(a.Icon, b.Icon),
		strings.Compare(a.Confirmation, b.Confirmation),
		cmp.Compare(a.Rank, b.Rank),
		strings.Compare(a.ProbeID, b.ProbeID),
	)
}

func preferMetadata(a, b *MetadataTemplate) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Label, b.Label),
		cmp.Compare(a.Truncate, b.Truncate),
		strings.Compare(a.DataType, b.DataType),
		strings.Compare(a.From, b.From),
	)
}

func preferMetricTemplate(a, b *MetricTemplate) int {
	return cmp.Or(
		cmp.Compare(a.Priority, b.Priority),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Label, b.Label),
		strings.Compare(a.Format, b.Format),
		strings.Compare(a.Group, b.Group),
	)
}

func preferPlugin(a, b *PluginSpec) int {
	return cmp.Or(
		strings.Compare(a.Label, b.Label),
		strings.Compare(a.Description, b.Description),
		slices.Compare(a.Interfaces, b.Interfaces),
		strings.Compare(a.APIVersion, b.APIVersion),
		strings.Compare(a.Status, b.Status),
	)
}

func compareColumns(a, b Column) int {
	return cmp.Or(
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Label, b.Label),
		strings.Compare(a.DataType, b.DataType),
	)
}

func compareFixedRows(a, b FixedRow) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Label, b.Label))
}

// joinTables merges table templates of one key, field by field.
func joinTables(group []*TableTemplate) (TableTemplate, origins) {
	var r TableTemplate
	for _, t := range group {
		if t != nil {
			r.Key, r.ID, r.Label = t.Key, max(r.ID, t.ID), max(r.Label, t.Label)
			r.Prefix, r.Type = max(r.Prefix, t.Prefix), max(r.Type, t.Type)
			r.Columns = longest(r.Columns, t.Columns, compareColumns)
			r.FixedRows = longest(r.FixedRows, t.FixedRows, compareFixedRows)
		}
	}
	var same origins
	for i, t := range group {
		if t != nil && equalTables(t, &r) {
			same |= 1 << i
		}
	}
	return r, same
}

func equalTables(a, b *TableTemplate) bool {
	return a.ID == b.ID && a.Label == b.Label && a.Prefix == b.Prefix && a.Type == b.Type &&
		slices.Equal(a.Columns, b.Columns) && slices.Equal(a.FixedRows, b.FixedRows)
}

// longest returns the longer of two lists, or the greater of two as long.
func longest[E any](a, b []E, compare func(a, b E) int) []E {
	if len(a) > len(b) || len(a) == len(b) && slices.CompareFunc(a, b, compare) >= 0 {
		return a
	}
	return b
}
