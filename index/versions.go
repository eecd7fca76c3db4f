package index

import "sync"

// Versioned is an index that only its own process writes, and that counts the
// writes. A question that reads such an index again need not read it as long as its
// version is the same. An index that wraps a Versioned one and changes what it
// returns must not pass Version on. indextest.RunVersions checks what is said here.
type Versioned interface {
	// Version returns a number that differs after each write of the tenant's
	// entries in the rows that [from, to) touches, and of its places that start in
	// these rows. Ok is false while such a write is under way, or while the index
	// does not answer. A read between two calls that return the same number and ok
	// still holds at the second call.
	Version(tenant string, from, to int64) (version uint64, ok bool)
}

// Versions counts writes for an index that is Versioned. The zero value is ready. It
// remembers up to 16 384 rows; when it forgets, unchanged rows seem to have changed.
// A Versions must not be copied.
type Versions struct {
	mu   sync.RWMutex // guards what follows
	last uint64       // number of the last write
	rows map[Row]rowVersion
	rest uint64 // the version of all other rows
	all  int    // writes under way that touch all rows
}

type rowVersion struct {
	version uint64
	writes  int // under way
}

const maxVersions = 16 << 10

// Begin says that a write of some rows begins. It must be called before the write
// can be seen, and End with the same rows after it can be.
func (v *Versions) Begin(rows ...Row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget()
	for _, row := range rows {
		r, ok := v.rows[row]
		if !ok {
			r.version = v.rest
		}
		r.writes++
		v.rows[row] = r
	}
}

// End says that a write has ended, or has failed.
func (v *Versions) End(rows ...Row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last++
	for _, row := range rows {
		v.rows[row] = rowVersion{v.last, v.rows[row].writes - 1}
	}
}

// BeginAll is Begin for all rows.
func (v *Versions) BeginAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all++
}

// EndAll is End for all rows.
func (v *Versions) EndAll() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last++
	v.all, v.rest = v.all-1, v.last
}

// forget makes room. The caller holds mu.
func (v *Versions) forget() {
	if len(v.rows) < maxVersions && v.rows != nil {
		return
	}
	old := v.rows
	v.rows, v.rest = make(map[Row]rowVersion), v.last
	for row, r := range old {
		if r.writes > 0 {
			v.rows[row] = r
		}
	}
}

// Version implements Versioned.
func (v *Versions) Version(tenant string, from, to int64) (version uint64, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	version, ok = v.rest, v.all == 0
	if to <= from {
		return version, ok
	}
	add := func(r rowVersion) { version, ok = max(version, r.version), ok && r.writes == 0 }
	first, last := Floor(from, hour), Floor(to-1, hour)
	if last-first >= int64(len(v.rows)) {
		for row, r := range v.rows {
			if row.Tenant == tenant && row.Hour >= first && row.Hour <= last {
				add(r)
			}
		}
		return version, ok
	}
	for h := first; h <= last; h++ {
		add(v.rows[Row{tenant, h}])
	}
	return version, ok
}
