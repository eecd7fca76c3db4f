package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	"github.com/timeblob/timeblob/reports/report/wire"
)

// Check is what came of asking some tenants for all that they posted.
type Check struct {
	Tenants, Posts int      // that were asked about
	Faults         []string `json:",omitempty"` // what was missing, or should not have been there
}

// check asks some tenants, at random, for all that they posted.
func (s *siege) check(ctx context.Context) Check {
	var c Check
	for _, i := range rand.Perm(len(s.probes))[:min(s.opts.verify, len(s.probes))] {
		p := s.probes[i]
		c.Tenants++
		c.Posts += p.sent
		found, err := s.found(ctx, p.tenant)
		if err != nil {
			c.Faults = append(c.Faults, fmt.Sprintf("tenant %s: %v", p.tenant, err))
			continue
		}
		c.Faults = append(c.Faults, p.faults(found)...)
	}
	return c
}

// found returns the ids of the posts that a tenant is answered.
func (s *siege) found(ctx context.Context, tenant string) (map[string]bool, error) {
	var text bytes.Buffer
	begun := s.begun.Add(-time.Minute) // should its clock differ
	query := url.Values{"start": {begun.UTC().Format(time.RFC3339Nano)}}
	if err := s.client.ask(ctx, tenant, query, &text); err != nil {
		return nil, err
	}
	r, err := wire.DecodeMsgpack(text.Bytes())
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, n := range r.Topologies[marked].Nodes {
		ids[n.ID] = true
	}
	return ids, nil
}

// faults says how what a tenant is answered differs from what it posted. A post
// that failed may have been taken or not. It removes from found what it knows.
func (p *probe) faults(found map[string]bool) (faults []string) {
	lost := 0
	for post := range p.sent {
		id := p.id(post)
		if !found[id] && !slices.Contains(p.doubt, post) {
			lost++
		}
		delete(found, id)
	}
	if lost > 0 {
		faults = append(faults, fmt.Sprintf("tenant %s: %d of %d posts are lost", p.tenant, lost, p.sent-len(p.doubt)))
	}
	for id := range found {
		faults = append(faults, fmt.Sprintf("tenant %s is answered %q, which it did not post", p.tenant, id))
	}
	return faults
}
