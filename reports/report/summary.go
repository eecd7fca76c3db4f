package report

import (
	"fmt"
	"strings"
)

// summaryOrder is the order in which Scope's summaries count the topologies.
var summaryOrder = [KindCount]Kind{
	Endpoint, Process, Container, ContainerImage, Pod, Service, Deployment, ReplicaSet, DaemonSet,
	StatefulSet, CronJob, Namespace, Host, Overlay, ECSTask, ECSService, SwarmService, PersistentVolume,
	PersistentVolumeClaim, StorageClass, VolumeSnapshot, VolumeSnapshotData, Job,
}

// Summary returns how many nodes a report holds, in one line, as Scope counts
// them: "name:count" of each topology that is not empty, joined by commas. A
// report of exactly one host begins with the ID of the host's node. The
// summary of an empty report is empty.
func Summary(r *Report) string {
	var counts []string
	for _, k := range summaryOrder {
		if n := len(r.Topologies[k].Nodes); n > 0 {
			counts = append(counts, fmt.Sprintf("%s:%d", k.Name(), n))
		}
	}
	line := strings.Join(counts, ", ")
	if hosts := r.Topologies[Host].Nodes; len(hosts) == 1 {
		return hosts[0].ID + ": " + line
	}
	return line
}
