package report

// Kind is a kind of topology, and its index in [Report.Topologies]. The order is
// the order of Scope's own encoding.
type Kind int

// The kinds of topologies.
const (
	Endpoint Kind = iota
	Process
	Container
	Pod
	Service
	Deployment
	ReplicaSet
	DaemonSet
	StatefulSet
	CronJob
	Namespace
	ContainerImage
	Host
	ECSTask
	ECSService
	SwarmService
	Overlay
	PersistentVolume
	PersistentVolumeClaim
	StorageClass
	VolumeSnapshot
	VolumeSnapshotData
	Job

	// KindCount is how many kinds there are.
	KindCount = int(iota)
)

// kinds holds what Scope 1.13 calls the topologies, and how it shows them.
// The wire names are frozen.
var kinds = [KindCount]struct{ wire, name, shape, label, plural, tag string }{
	Endpoint:              {"Endpoint", "endpoint", "", "", "", ""},
	Process:               {"Process", "process", "square", "process", "processes", ""},
	Container:             {"Container", "container", "hexagon", "container", "containers", ""},
	Pod:                   {"Pod", "pod", "heptagon", "pod", "pods", ""},
	Service:               {"Service", "service", "heptagon", "service", "services", ""},
	Deployment:            {"Deployment", "deployment", "heptagon", "deployment", "deployments", ""},
	ReplicaSet:            {"ReplicaSet", "replica_set", "triangle", "replica set", "replica sets", ""},
	DaemonSet:             {"DaemonSet", "daemon_set", "pentagon", "daemonset", "daemonsets", ""},
	StatefulSet:           {"StatefulSet", "stateful_set", "octagon", "stateful set", "stateful sets", ""},
	CronJob:               {"CronJob", "cron_job", "triangle", "cron job", "cron jobs", ""},
	Namespace:             {"Namespace", "namespace", "", "", "", ""},
	ContainerImage:        {"ContainerImage", "container_image", "hexagon", "image", "images", ""},
	Host:                  {"Host", "host", "circle", "host", "hosts", ""},
	ECSTask:               {"ECSTask", "ecs_task", "heptagon", "task", "tasks", ""},
	ECSService:            {"ECSService", "ecs_service", "heptagon", "service", "services", ""},
	SwarmService:          {"SwarmService", "swarm_service", "heptagon", "service", "services", ""},
	Overlay:               {"Overlay", "overlay", "circle", "peer", "peers", ""},
	PersistentVolume:      {"PersistentVolume", "persistent_volume", "cylinder", "persistent volume", "persistent volumes", ""},
	PersistentVolumeClaim: {"PersistentVolumeClaim", "persistent_volume_claim", "dottedcylinder", "persistent volume claim", "persistent volume claims", ""},
	StorageClass:          {"StorageClass", "storage_class", "sheet", "storage class", "storage classes", ""},
	VolumeSnapshot:        {"VolumeSnapshot", "volume_snapshot", "dottedcylinder", "volume snapshot", "volume snapshots", "camera"},
	VolumeSnapshotData:    {"VolumeSnapshotData", "volume_snapshot_data", "cylinder", "volume snapshot data", "volume snapshot data", "camera"},
	Job:                   {"Job", "job", "dottedtriangle", "job", "jobs", ""},
}

// Wire returns the name of the topology's field in an encoded report, such as
// "ReplicaSet".
func (k Kind) Wire() string { return kinds[k].wire }

// Name returns what nodes and summaries call the topology, such as
// "replica_set".
func (k Kind) Name() string { return kinds[k].name }

// String returns the same as Name.
func (k Kind) String() string { return kinds[k].name }
