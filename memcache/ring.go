package memcache

import "slices"

// ring is an immutable list of servers. A Tier replaces it when the servers change.
type ring struct {
	servers []*server // sorted by name; a name may occur twice
}

// batch is the keys of one request to one server.
type batch struct {
	server *server
	keys   []string
}

// server returns the server of a valid key. The ring must not be empty.
func (r *ring) server(key string) *server {
	return r.servers[r.position([]byte(key))]
}

func (r *ring) position(key []byte) int {
	if len(r.servers) == 1 {
		return 0
	}
	return pick(key, len(r.servers))
}

// batches groups the valid keys by server, in batches of at most limit keys. The ring must not be empty
// unless keys is.
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
