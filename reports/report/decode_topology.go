package report

import "cmp"

func (d *decoder) topology(t *Topology, k Kind) {
	if d.null() {
		*t = Topology{}
		return
	}
	*t = k.Defaults()
	d.home = k.Name()
	for name := range d.fields {
		d.topologyField(t, name)
	}
}

func (d *decoder) topologyField(t *Topology, name []byte) {
	switch string(name) {
	case "shape":
		t.Shape = d.text()
	case "tag":
		t.Tag = d.text()
	case "label":
		t.Label = d.text()
	case "label_plural":
		t.LabelPlural = d.text()
	case "nodes":
		t.Nodes = d.nodeMap()
	case "controls":
		t.Controls = keyed(d, nil, (*decoder).control, orderControls)
	case "metadata_templates":
		t.MetadataTemplates = keyed(d, nil, (*decoder).metadataTemplate, orderMetadata)
	case "metric_templates":
		t.MetricTemplates = keyed(d, nil, (*decoder).metricTemplate, orderMetricTemplates)
	case "table_templates":
		t.TableTemplates = keyed(d, nil, (*decoder).tableTemplate, orderTables)
	default:
		d.skip()
	}
}

func (d *decoder) control(key string, c *Control) {
	c.Key = key
	for name := range d.fields {
		switch string(name) {
		case "id":
			c.ID = d.textLike(key)
		case "human":
			c.Human = d.text()
		case "icon":
			c.Icon = d.text()
		case "confirmation":
			c.Confirmation = d.text()
		case "rank":
			c.Rank = d.int()
		case "probeId":
			c.ProbeID = d.text()
		default:
			d.skip()
		}
	}
}

func (d *decoder) metadataTemplate(key string, m *MetadataTemplate) {
	m.Key = key
	for name := range d.fields {
		switch string(name) {
		case "id":
			m.ID = d.text()
		case "label":
			m.Label = d.text()
		case "truncate":
			m.Truncate = d.int()
		case "dataType":
			m.DataType = d.text()
		case "priority":
			m.Priority = d.float()
		case "from":
			m.From = d.text()
		default:
			d.skip()
		}
	}
}

func (d *decoder) metricTemplate(key string, m *MetricTemplate) {
	m.Key = key
	for name := range d.fields {
		switch string(name) {
		case "id":
			m.ID = d.text()
		case "label":
			m.Label = d.text()
		case "format":
			m.Format = d.text()
		case "group":
			m.Group = d.text()
		case "priority":
			m.Priority = d.float()
		default:
			d.skip()
		}
	}
}

func (d *decoder) tableTemplate(key string, t *TableTemplate) {
	t.Key = key
	for name := range d.fields {
		switch string(name) {
		case "id":
			t.ID = d.text()
		case "label":
			t.Label = d.text()
		case "prefix":
			t.Prefix = d.text()
		case "type":
			t.Type = d.text()
		case "columns":
			t.Columns = list(d, nil, (*decoder).column)
		case "fixedRows":
			t.FixedRows = keyed(d, nil, (*decoder).fixedRow, orderFixedRows)
		default:
			d.skip()
		}
	}
}

func (d *decoder) column(c *Column) {
	for name := range d.fields {
		switch string(name) {
		case "id":
			c.ID = d.text()
		case "label":
			c.Label = d.text()
		case "dataType":
			c.DataType = d.text()
		default:
			d.skip()
		}
	}
}

func (d *decoder) fixedRow(key string, r *FixedRow) { r.Key, r.Label = key, d.text() }

func orderFixedRows(a, b *FixedRow) int { return cmp.Compare(a.Key, b.Key) }
