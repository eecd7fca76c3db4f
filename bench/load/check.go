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

// Check is the result of asking some tenants for everything they posted.
type Check struct {
	Tenants, Posts int      // that were checked
	Faults         []string `json:",omitempty"` // missing and unexpected posts
}

// check asks some random tenants for everything they posted.
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

// found returns the ids of the posts in a tenant's answer.
func (s *siege) found(ctx context.Context, tenant string) (map[string]bool, error) {
	var text bytes.Buffer
	begun := s.begun.Add(-time.Minute) // allows for a different clock
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

// faults describes how a tenant's answer differs from its posts. A failed post may be in the answer or not.
// faults removes the known posts from found.
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
