package main

import (
	"context"
	"fmt"
	"io"
)

// besiege posts and asks for the duration of the options. Then it checks that nothing was lost.
func besiege(ctx context.Context, t *target, opts *options, stderr io.Writer) (*Siege, error) {
	bodies, err := loadBodies(opts.reports, opts.nodes)
	if err != nil {
		return nil, err
	}
	c := newClient(t.url, opts.header, opts.tenants+maxQuestions)
	defer c.close()
	s := &siege{opts: opts, client: c}
	for i := range opts.tenants {
		s.probes = append(s.probes, &probe{tenant: fmt.Sprintf("load-%d", i), bodies: bodies})
	}
	w, err := newWatcher(ctx, c)
	if err != nil {
		return nil, err
	}
	s.begun = w.begun
	during := s.suffer(ctx, t, stderr)
	s.drive(ctx, w, stderr)
	if ctx.Err() != nil {
		during(nil) // the bucket answers again before its process is ended
		return nil, ctx.Err()
	}
	w.look(ctx)
	disk, _ := written(t.pid)
	fmt.Fprintln(stderr, "load: asking for what was posted")
	check := s.check(ctx)
	r := s.sum(w, check, disk)
	if r.Outage, err = during(w.samples); err != nil {
		return nil, err
	}
	return r, ctx.Err()
}
