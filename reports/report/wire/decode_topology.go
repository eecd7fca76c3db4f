package wire

import "github.com/timeblob/timeblob/reports/report"

func (d *decoder) topology(t *report.Topology, k report.Kind) {
	if d.null() {
		*t = report.Topology{}
		return
	}
	*t = k.Defaults()
	d.home = k.Name()
	for name := range d.fields {
		d.topologyField(t, name)
	}
}

func (d *decoder) topologyField(t *report.Topology, name []byte) {
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
		t.Controls = keyed(d, nil, (*decoder).control, (*report.Control).Compare)
	case "metadata_templates":
		t.MetadataTemplates = keyed(d, nil, (*decoder).metadataTemplate, (*report.MetadataTemplate).Compare)
	case "metric_templates":
		t.MetricTemplates = keyed(d, nil, (*decoder).metricTemplate, (*report.MetricTemplate).Compare)
	case "table_templates":
		t.TableTemplates = keyed(d, nil, (*decoder).tableTemplate, (*report.TableTemplate).Compare)
	default:
		d.skip()
	}
}

func (d *decoder) control(key string, c *report.Control) {
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

func (d *decoder) metadataTemplate(key string, m *report.MetadataTemplate) {
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

func (d *decoder) metricTemplate(key string, m *report.MetricTemplate) {
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

func (d *decoder) tableTemplate(key string, t *report.TableTemplate) {
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
			t.FixedRows = keyed(d, nil, (*decoder).fixedRow, (*report.FixedRow).Compare)
		default:
			d.skip()
		}
	}
}

func (d *decoder) column(c *report.Column) {
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

func (d *decoder) fixedRow(key string, r *report.FixedRow) { r.Key, r.Label = key, d.text() }
