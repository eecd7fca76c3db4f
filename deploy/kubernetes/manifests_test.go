// Package kubernetes_test decodes the manifests as a strict API server does, and checks what it does not: that what
// refers to each other fits. It is a module of its own, so that the library does not depend on Kubernetes.
package kubernetes_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// workload is a Deployment or a StatefulSet.
type workload struct {
	name     string
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	service  string                         // of a StatefulSet
	claims   []corev1.PersistentVolumeClaim // of a StatefulSet
}

// cluster is what one file makes.
type cluster struct {
	namespaces map[string]bool
	accounts   map[string]bool
	configs    map[string]map[string]string
	services   map[string]*corev1.Service
	budgets    []*policyv1.PodDisruptionBudget
	workloads  []workload
	faults     []string
}

func (c *cluster) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func decoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// read decodes the documents of a file and checks what they say together.
func read(decode runtime.Decoder, text []byte) *cluster {
	c := &cluster{namespaces: map[string]bool{}, accounts: map[string]bool{}, configs: map[string]map[string]string{},
		services: map[string]*corev1.Service{}}
	for i, document := range bytes.Split(text, []byte("\n---\n")) {
		object, _, err := decode.Decode(document, nil, nil)
		if err != nil {
			c.fault("document %d: %v", i+1, err)
			continue
		}
		c.add(object)
	}
	for _, w := range c.workloads {
		c.checkWorkload(w)
		c.checkPod(w.name, w.pod.Spec)
		for _, container := range w.pod.Spec.Containers {
			c.checkContainer(w, container)
		}
	}
	c.checkServices()
	return c
}

func (c *cluster) add(object runtime.Object) {
	switch o := object.(type) {
	case *corev1.Namespace:
		c.namespaces[o.Name] = true
		return
	case *corev1.ServiceAccount:
		c.accounts[o.Name] = true
	case *corev1.ConfigMap:
		c.configs[o.Name] = o.Data
	case *corev1.Service:
		c.services[o.Name] = o
	case *policyv1.PodDisruptionBudget:
		c.budgets = append(c.budgets, o)
	case *appsv1.StatefulSet:
		c.workloads = append(c.workloads, workload{o.Name, o.Spec.Selector, o.Spec.Template, o.Spec.ServiceName, o.Spec.VolumeClaimTemplates})
	case *appsv1.Deployment:
		c.workloads = append(c.workloads, workload{name: o.Name, selector: o.Spec.Selector, pod: o.Spec.Template})
	default:
		c.fault("a %T is not expected", object)
	}
	if o, ok := object.(metav1.Object); ok && !c.namespaces[o.GetNamespace()] {
		c.fault("%s is in the namespace %q, which the file does not make before", o.GetName(), o.GetNamespace())
	}
}

func matches(selector *metav1.LabelSelector, w workload) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && !s.Empty() && s.Matches(labels.Set(w.pod.Labels))
}

func (c *cluster) checkWorkload(w workload) {
	if !matches(w.selector, w) {
		c.fault("%s does not select its own pods", w.name)
	}
	if w.service != "" && c.services[w.service] == nil {
		c.fault("%s has no service %q", w.name, w.service)
	}
	if !slices.ContainsFunc(c.budgets, func(b *policyv1.PodDisruptionBudget) bool { return matches(b.Spec.Selector, w) }) {
		c.fault("%s has no PodDisruptionBudget", w.name)
	}
	for _, spread := range w.pod.Spec.TopologySpreadConstraints {
		if !matches(spread.LabelSelector, w) {
			c.fault("%s spreads other pods than its own", w.name)
		}
	}
	if account := w.pod.Spec.ServiceAccountName; account != "" && !c.accounts[account] {
		c.fault("%s has no account %q", w.name, account)
	}
}

func (c *cluster) checkPod(name string, pod corev1.PodSpec) {
	s := pod.SecurityContext
	switch {
	case s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0:
		c.fault("%s may run as root", name)
	case s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		c.fault("%s has no seccomp profile", name)
	}
}

func (c *cluster) checkContainer(w workload, container corev1.Container) {
	s := container.SecurityContext
	if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil ||
		!*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		c.fault("%s: the container may gain privileges or write to its root", w.name)
	}
	if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
		c.fault("%s: no limit of memory, or no request of processors", w.name)
	}
	for _, mount := range container.VolumeMounts {
		if !slices.ContainsFunc(w.claims, func(v corev1.PersistentVolumeClaim) bool { return v.Name == mount.Name }) {
			c.fault("%s mounts %q, which nobody claims", w.name, mount.Name)
		}
	}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef == nil || c.configs[from.ConfigMapRef.Name] == nil {
			c.fault("%s takes its environment from a ConfigMap that is not there", w.name)
		}
	}
	if slices.Contains(container.Args, "serve") {
		c.checkCollector(w, container)
	}
}

// checkCollector checks a container of the collector's image.
func (c *cluster) checkCollector(w workload, container corev1.Container) {
	for path, probe := range map[string]*corev1.Probe{"/healthz": container.LivenessProbe, "/readyz": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || !hasPort(container, probe.HTTPGet.Port.StrVal) {
			c.fault("%s has no probe of %s at a named port", w.name, path)
		}
	}
	grace := w.pod.Spec.TerminationGracePeriodSeconds
	timeout, err := time.ParseDuration(argument(container, "--shutdown-timeout"))
	if err != nil || grace == nil || time.Duration(*grace)*time.Second <= timeout {
		c.fault("%s is killed before its --shutdown-timeout of %v (%v)", w.name, timeout, err)
	}
	if delay, err := time.ParseDuration(argument(container, "--shutdown-delay")); err != nil || delay <= 0 || delay >= timeout {
		c.fault("%s: a --shutdown-delay of %v within %v (%v)", w.name, delay, timeout, err)
	}
	if port := argument(container, "--listen"); len(container.Ports) != 1 || port != fmt.Sprint(":", container.Ports[0].ContainerPort) {
		c.fault("%s listens at %q, and its port is another", w.name, port)
	}
	if data := argument(container, "--data"); data != "" &&
		!slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == data }) {
		c.fault("%s keeps its data outside of a volume", w.name)
	}
	c.checkMemory(w, container)
	c.checkRecords(w, container)
}

// checkMemory wants GOMEMLIMIT at 75 to 80 % of the limit.
func (c *cluster) checkMemory(w workload, container corev1.Container) {
	for _, v := range container.Env {
		if v.Name != "GOMEMLIMIT" {
			continue
		}
		quantity, err := resource.ParseQuantity(strings.TrimSuffix(v.Value, "B"))
		if percent := 100 * quantity.Value() / max(1, container.Resources.Limits.Memory().Value()); err != nil || percent < 75 || percent > 80 {
			c.fault("%s: GOMEMLIMIT is %d %% of the limit of memory (%v)", w.name, percent, err)
		}
		return
	}
	c.fault("%s has no GOMEMLIMIT", w.name)
}

// checkRecords follows each SRV name to a headless service with a port that has the name.
func (c *cluster) checkRecords(w workload, container corev1.Container) {
	var names []string
	for item := range strings.SplitSeq(argument(container, "--collectors"), ",") {
		if name, ok := strings.CutPrefix(item, "srv:"); ok {
			names = append(names, name)
		}
	}
	for _, from := range container.EnvFrom {
		cache := c.configs[from.ConfigMapRef.Name]["COLLECTOR_CACHE"]
		if address, ok := strings.CutPrefix(cache, "memcached+srv://"); ok {
			service, host, _ := strings.Cut(address, "/")
			names = append(names, "_"+service+"._tcp."+host)
		}
	}
	if argument(container, "--role") == "query" && len(names) == 0 {
		c.fault("%s finds no collectors", w.name)
	}
	for _, name := range names {
		parts := strings.SplitN(name, ".", 5)
		if len(parts) != 5 || parts[1] != "_tcp" || parts[4] != "svc.cluster.local" || !c.namespaces[parts[3]] {
			c.fault("%s: %s is no SRV name of this namespace", w.name, name)
			continue
		}
		service := c.services[parts[2]]
		if service == nil || service.Spec.ClusterIP != corev1.ClusterIPNone || !slices.ContainsFunc(service.Spec.Ports,
			func(p corev1.ServicePort) bool { return "_"+p.Name == parts[0] }) {
			c.fault("%s: %s needs a headless service %q with a port of that name", w.name, name, parts[2])
		}
	}
}

// checkServices wants each to select a workload whose container has the target port.
func (c *cluster) checkServices() {
	for name, service := range c.services {
		i := slices.IndexFunc(c.workloads, func(w workload) bool {
			return matches(&metav1.LabelSelector{MatchLabels: service.Spec.Selector}, w)
		})
		if i < 0 {
			c.fault("the service %s selects nothing", name)
			continue
		}
		for _, port := range service.Spec.Ports {
			if !hasPort(c.workloads[i].pod.Spec.Containers[0], port.TargetPort.StrVal) {
				c.fault("the service %s targets a port %q that no container has", name, port.TargetPort.StrVal)
			}
		}
	}
}

func hasPort(container corev1.Container, name string) bool {
	return slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
}

// argument returns the value of --name=value.
func argument(container corev1.Container, name string) string {
	for _, arg := range container.Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

func TestManifests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("found %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range read(decoder(t), text).faults {
			t.Errorf("%s: %s", file, fault)
		}
	}
}

// Each change to a manifest is a fault that the check names.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("aws.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, fault string }{
		{"terminationGracePeriodSeconds: 60", "terminationGracePeriodSecond: 60", "unknown field"},
		{"replicas: 3", "replicas: three", "document 7"},
		{"terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 45", "is killed before"},
		{"{name: GOMEMLIMIT, value: 3276MiB}", "{name: GOMEMLIMIT, value: 4GiB}", "GOMEMLIMIT is 100 %"},
		{"{name: GOMEMLIMIT, value: 3276MiB}", "{name: OTHER, value: a}", "has no GOMEMLIMIT"},
		{"srv:_http._tcp.collectors.", "srv:_api._tcp.collectors.", "headless service"},
		{"srv:_http._tcp.collectors.", "srv:_http._tcp.collector.", "headless service"},
		{"memcached+srv://memcached/", "memcached+srv://cache/", "headless service"},
		{"path: /readyz", "path: /ready", "no probe of /readyz"},
		{"runAsNonRoot: true", "runAsNonRoot: false", "may run as root"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "may gain privileges"},
		{"selector: {app: query}", "selector: {app: queries}", "selects nothing"},
		{"name: data, mountPath", "name: date, mountPath", "nobody claims"},
		{"configMapRef: {name: stores}", "configMapRef: {name: store}", "not there"},
		{"--listen=:4040", "--listen=:4041", "its port is another"},
		{"limits: {memory: 4Gi}", "limits: {cpu: 4}", "no limit of memory"},
		{"namespace: scope", "namespace: scoop", "does not make before"},
		{"kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", "no kind"},
		{"matchLabels: {app: query}", "matchLabels: {app: other}", "has no PodDisruptionBudget"},
	} {
		if !strings.Contains(string(text), c.old) {
			t.Errorf("no %q to change", c.old)
			continue
		}
		faults := read(decoder(t), []byte(strings.Replace(string(text), c.old, c.new, 1))).faults
		if !strings.Contains(strings.Join(faults, "\n"), c.fault) {
			t.Errorf("%s: got %q, want %q", c.new, faults, c.fault)
		}
	}
}
