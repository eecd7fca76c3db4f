package memcache

import "slices"

// ring is the servers at one time. It does not change; a Tier replaces it.
type ring struct {
	servers []*server // sorted by name; one named twice stands there twice
}

// batch is what one request asks one server for.
type batch struct {
	server *server
	keys   []string
}

// server returns where a legal key belongs. There must be servers.
func (r *ring) server(key string) *server {
	return r.servers[r.position([]byte(key))]
}

func (r *ring) position(key []byte) int {
	if len(r.servers) == 1 {
		return 0
	}
	return pick(key, len(r.servers))
}

// batches sorts the legal ones of keys by server and cuts them into batches
// of at most limit. Where there are keys there must be servers.
func (r *ring) batches(keys []string, limit int) (all []batch) {
	groups := make([][]string, len(r.servers))
	buffer := make([]byte, 0, maxKey)
	for _, key := range keys {
		if legal(key) {
			i := r.position(append(buffer, key...))
			groups[i] = append(groups[i], key)
		}
	}
	for i, group := range groups {
		for keys := range slices.Chunk(group, limit) {
			all = append(all, batch{r.servers[i], keys})
		}
	}
	return all
}

// named returns the servers by name.
func (r *ring) named() map[string]*server {
	servers := make(map[string]*server, len(r.servers))
	for _, s := range r.servers {
		servers[s.name] = s
	}
	return servers
}
