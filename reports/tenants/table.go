package tenants

import "crypto/sha256"

// Limits are the limits of one tenant. A zero field means the limit for all tenants.
type Limits struct {
	Rate                    float64 // reports a second
	Pending, Size, Inflated int64   // bytes: waiting to be stored; one report as posted; one report decompressed
}

// Caller is the owner of a token.
type Caller struct {
	Tenant string
	Peer   bool // names a tenant in each request; Tenant is empty
}

// sum is the SHA-256 sum of a token.
type sum [sha256.Size]byte

// Table is the content of a tenants file. It is immutable, so it is safe for concurrent use. A nil Table
// stands for no file.
type Table struct {
	limits  map[string]Limits // of tenants with limits of their own
	callers map[sum]Caller    // by token
	basic   map[sum]Caller    // by user name and password
	tenants int
	peers   int // the line of *; 0 for none
}

// Limits returns a tenant's own limits.
func (t *Table) Limits(tenant string) Limits {
	if t == nil {
		return Limits{}
	}
	return t.limits[tenant]
}

// Secured reports whether requests need credentials.
func (t *Table) Secured() bool { return t != nil && len(t.callers)+len(t.basic) > 0 }

// Basic returns the owner of a user name and password; false when they are
// unknown. Like Caller, it looks up their SHA-256 sum.
func (t *Table) Basic(user, password string) (Caller, bool) {
	if t == nil {
		return Caller{}, false
	}
	c, ok := t.basic[sha256.Sum256([]byte(user+":"+password))]
	return c, ok
}

// Caller returns the owner of a token; false when the token is unknown. It looks up the token's SHA-256 sum,
// so that the time it takes reveals nothing about other tokens.
func (t *Table) Caller(token string) (Caller, bool) {
	if t == nil {
		return Caller{}, false
	}
	c, ok := t.callers[sha256.Sum256([]byte(token))]
	return c, ok
}
