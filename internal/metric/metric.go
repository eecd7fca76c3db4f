// Package metric registers Prometheus collectors so that several instances
// of one thing can share a registry and add up in the same series.
package metric

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// register registers c and returns it, or, when reg has a collector of the
// same description already, that one. With a nil reg it returns c, which then
// counts for nobody.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	if reg == nil {
		return c, nil
	}
	err := reg.Register(c)
	if twin, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		existing, ok := twin.ExistingCollector.(C)
		if !ok {
			return c, fmt.Errorf("metric: registered before as a %T: %w", twin.ExistingCollector, err)
		}
		return existing, nil
	}
	return c, err
}
