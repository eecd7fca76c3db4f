// Package scope has Weave Scope's report as a plain struct with generated code of ugorji/go codec, the way Scope's
// own collectors read and write it. The struct holds what package report holds, without its checks: no sorting,
// no limits, no sharing of strings.
package scope

import "time"

//go:generate go tool codecgen -d 5908 -r Report|Topology|Node|Latest|Metric|Sample|Control|Template|Table|Column|DNS|Sampling|Plugin -o generated.go report.go

// Report is one probe's view. Topologies stand under their own names on the wire.
type Report struct {
	TS                    time.Time      `codec:"TS"`
	Endpoint              Topology       `codec:"Endpoint"`
	Process               Topology       `codec:"Process"`
	Container             Topology       `codec:"Container"`
	Pod                   Topology       `codec:"Pod"`
	Service               Topology       `codec:"Service"`
	Deployment            Topology       `codec:"Deployment"`
	ReplicaSet            Topology       `codec:"ReplicaSet"`
	DaemonSet             Topology       `codec:"DaemonSet"`
	StatefulSet           Topology       `codec:"StatefulSet"`
	CronJob               Topology       `codec:"CronJob"`
	Namespace             Topology       `codec:"Namespace"`
	ContainerImage        Topology       `codec:"ContainerImage"`
	Host                  Topology       `codec:"Host"`
	ECSTask               Topology       `codec:"ECSTask"`
	ECSService            Topology       `codec:"ECSService"`
	SwarmService          Topology       `codec:"SwarmService"`
	Overlay               Topology       `codec:"Overlay"`
	PersistentVolume      Topology       `codec:"PersistentVolume"`
	PersistentVolumeClaim Topology       `codec:"PersistentVolumeClaim"`
	StorageClass          Topology       `codec:"StorageClass"`
	VolumeSnapshot        Topology       `codec:"VolumeSnapshot"`
	VolumeSnapshotData    Topology       `codec:"VolumeSnapshotData"`
	Job                   Topology       `codec:"Job"`
	DNS                   map[string]DNS `codec:"DNS,omitempty"`
	Sampling              Sampling       `codec:"Sampling"`
	Window                time.Duration  `codec:"Window"`
	Shortcut              bool           `codec:"Shortcut"`
	Plugins               []Plugin       `codec:"Plugins"`
	ID                    string         `codec:"ID"`
}

// Topology is one kind of thing.
type Topology struct {
	Shape             string              `codec:"shape,omitempty"`
	Tag               string              `codec:"tag,omitempty"`
	Label             string              `codec:"label,omitempty"`
	LabelPlural       string              `codec:"label_plural,omitempty"`
	Nodes             map[string]Node     `codec:"nodes,omitempty"`
	Controls          map[string]Control  `codec:"controls,omitempty"`
	MetadataTemplates map[string]Template `codec:"metadata_templates,omitempty"`
	MetricTemplates   map[string]Template `codec:"metric_templates,omitempty"`
	TableTemplates    map[string]Table    `codec:"table_templates,omitempty"`
}

// Node is one thing that a probe saw.
type Node struct {
	ID        string              `codec:"id,omitempty"`
	Topology  string              `codec:"topology,omitempty"`
	Sets      map[string][]string `codec:"sets,omitempty"`
	Adjacency []string            `codec:"adjacency,omitempty"`
	Latest    map[string]Latest   `codec:"latest,omitempty"`
	Metrics   map[string]Metric   `codec:"metrics,omitempty"`
	Parents   map[string][]string `codec:"parents,omitempty"`
	Children  []Node              `codec:"children,omitempty"`
}

// Latest is a value and its time.
type Latest struct {
	Timestamp time.Time `codec:"timestamp"`
	Value     string    `codec:"value"`
}

// Metric is a series of numbers.
type Metric struct {
	Samples []Sample `codec:"samples,omitempty"`
	Min     float64  `codec:"min"`
	Max     float64  `codec:"max"`
}

// Sample is one number.
type Sample struct {
	Date  time.Time `codec:"date"`
	Value float64   `codec:"value"`
}

// Control is a button.
type Control struct {
	ID           string `codec:"id"`
	Human        string `codec:"human"`
	Icon         string `codec:"icon"`
	Confirmation string `codec:"confirmation,omitempty"`
	Rank         int    `codec:"rank"`
	ProbeID      string `codec:"probeId,omitempty"`
}

// Template says how to show metadata or a metric.
type Template struct {
	ID       string  `codec:"id"`
	Label    string  `codec:"label,omitempty"`
	Truncate int     `codec:"truncate,omitempty"`
	DataType string  `codec:"dataType,omitempty"`
	Format   string  `codec:"format,omitempty"`
	Group    string  `codec:"group,omitempty"`
	Priority float64 `codec:"priority,omitempty"`
	From     string  `codec:"from,omitempty"`
}

// Table says how to show a table.
type Table struct {
	ID        string            `codec:"id"`
	Label     string            `codec:"label"`
	Prefix    string            `codec:"prefix"`
	Type      string            `codec:"type"`
	Columns   []Column          `codec:"columns"`
	FixedRows map[string]string `codec:"fixedRows"`
}

// Column is one of a table's.
type Column struct {
	ID       string `codec:"id"`
	Label    string `codec:"label"`
	DataType string `codec:"dataType"`
}

// DNS is what a name or an address resolves to.
type DNS struct {
	Forward []string `codec:"forward,omitempty"`
	Reverse []string `codec:"reverse,omitempty"`
}

// Sampling says how much a probe saw.
type Sampling struct {
	Count uint64
	Total uint64
}

// Plugin is an extension of a probe.
type Plugin struct {
	ID          string   `codec:"id"`
	Label       string   `codec:"label"`
	Description string   `codec:"description,omitempty"`
	Interfaces  []string `codec:"interfaces"`
	APIVersion  string   `codec:"api_version,omitempty"`
	Status      string   `codec:"status,omitempty"`
}
