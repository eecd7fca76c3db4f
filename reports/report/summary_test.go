package report_test

import (
	"testing"

	"github.com/timeblob/timeblob/reports/report"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	type counts = map[report.Kind]int
	all := counts{}
	for k := range report.KindCount {
		all[report.Kind(k)] = k + 2
	}
	for name, c := range map[string]struct {
		in   counts
		want string
	}{
		"empty":     {nil, ""},
		"no host":   {counts{report.Pod: 3, report.ContainerImage: 2}, "container_image:2, pod:3"},
		"one host":  {counts{report.Host: 1, report.Process: 2}, "host-0000: process:2, host:1"},
		"two hosts": {counts{report.Host: 2, report.Process: 2}, "process:2, host:2"},
		"all, in Scope's order": {all, "endpoint:2, process:3, container:4, container_image:13, pod:5, service:6, deployment:7, " +
			"replica_set:8, daemon_set:9, stateful_set:10, cron_job:11, namespace:12, host:14, overlay:18, ecs_task:15, ecs_service:16, " +
			"swarm_service:17, persistent_volume:19, persistent_volume_claim:20, storage_class:21, volume_snapshot:22, " +
			"volume_snapshot_data:23, job:24"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := report.Summary(counted(c.in)); got != c.want {
				t.Errorf("Summary = %q, want %q", got, c.want)
			}
		})
	}
}
