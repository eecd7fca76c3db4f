package index

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// hour is the length of a row in nanoseconds. Frozen: stored keys depend on it.
const hour = int64(time.Hour)

// Row names one tenant's entries of one hour.
type Row struct {
	Tenant string // an id that CheckTenant lets through: "", "." and "a-" are ids, and "a" and "A" are two
	Hour   int64  // hours since the Unix epoch, rounded down, so negative before 1970
}

// RowAt returns the row that holds the instant t, in Unix nanoseconds.
func RowAt(tenant string, t int64) Row {
	return Row{Tenant: tenant, Hour: Floor(t, hour)}
}

// Rows returns the rows that [from, to) touches, in order; none when
// to ≤ from. Instants are Unix nanoseconds.
func Rows(tenant string, from, to int64) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if to <= from {
			return
		}
		last := Floor(to-1, hour)
		for h := Floor(from, hour); h <= last; h++ {
			if !yield(Row{tenant, h}) {
				return
			}
		}
	}
}

// Start returns the first instant of the row in Unix nanoseconds. The row
// that holds the smallest int64 starts there.
func (r Row) Start() int64 {
	if r.Hour <= math.MinInt64/hour-1 {
		return math.MinInt64
	}
	return r.Hour * hour
}

// End returns the first instant after the row in Unix nanoseconds. The row
// that holds the greatest int64 ends there, and so does not hold it.
func (r Row) End() int64 {
	if r.Hour >= math.MaxInt64/hour {
		return math.MaxInt64
	}
	return (r.Hour + 1) * hour
}

// Key returns the row's key in the stores, "<tenant>-<hour>".
func (r Row) Key() string {
	return r.Tenant + "-" + strconv.FormatInt(r.Hour, 10)
}

// BlobKey returns the key of the row's blob of instant t, in Unix nanoseconds:
// the MD5 of the row's key in lower-case hex, a slash, and t in decimal. The
// hash spreads a tenant's hours over the object store's partitions.
func (r Row) BlobKey(t int64) string {
	sum := md5.Sum([]byte(r.Key()))
	key := make([]byte, 0, 2*md5.Size+1+20)
	key = hex.AppendEncode(key, sum[:])
	key = append(key, '/')
	return string(strconv.AppendInt(key, t, 10))
}

// BlobKeyPrefix returns what the keys of all of the row's blobs begin with. A
// key of another row begins so only when both rows have the same Key; its
// instant then lies in another hour.
func (r Row) BlobKeyPrefix() string {
	sum := md5.Sum([]byte(r.Key()))
	return hex.EncodeToString(sum[:]) + "/"
}

// FreshBlobKey returns a key of the row's blob of instant t that no blob has ever
// had, because nonce is random: BlobKey's, a hyphen, and the nonce. Readers take
// keys as they are, so that Scope reads such blobs too. The nonce must be of
// 1 to 64 letters and digits, crypto/rand.Text's for example.
func (r Row) FreshBlobKey(t int64, nonce string) string { return r.BlobKey(t) + "-" + nonce }

// RollUpPrefix begins the keys of all roll-ups, so that lifecycle rules can tell
// them from other blobs.
const RollUpPrefix = "rollup/"

// RollUpKey returns the key of a tenant's roll-up of a level's span that starts
// at start, in Unix nanoseconds: RollUpPrefix, the level in seconds, a slash,
// and a fresh blob key of start. The claim names the builder's attempt, in
// letters and digits.
func RollUpKey(tenant string, level time.Duration, start int64, claim string) string {
	return RollUpPrefix + strconv.FormatInt(int64(level/time.Second), 10) + "/" + RowAt(tenant, start).FreshBlobKey(start, claim)
}

// ParseRow returns the row that has the key and holds the instant t, in Unix
// nanoseconds. It needs t because tenants may hold hyphens: "a--5" is the key of
// hour −5 of tenant "a", and of hour 5 of tenant "a-".
func ParseRow(key string, t int64) (Row, error) {
	row := RowAt("", t)
	tenant, ok := strings.CutSuffix(key, row.Key())
	if !ok {
		return Row{}, fmt.Errorf("row key %.80q: does not end in %q, the hour of instant %d", key, row.Key(), t)
	}
	row.Tenant = tenant
	return row, nil
}

// The random end of a fresh key.
const (
	nonceBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	maxNonce   = 64
)

// ParseBlobKey returns the instant in a blob's key, in Unix nanoseconds. It reads
// the keys of BlobKey and of FreshBlobKey. The row cannot be had back from its
// hash.
func ParseBlobKey(key string) (t int64, err error) {
	sum, rest, ok := strings.Cut(key, "/")
	if !ok || len(sum) != 2*md5.Size || strings.Trim(sum, "0123456789abcdef") != "" {
		return 0, fmt.Errorf("blob key %.80q: does not start with 32 hex digits and a slash", key)
	}
	minus := len(rest) - len(strings.TrimPrefix(rest, "-"))
	digits, nonce, fresh := strings.Cut(rest[minus:], "-")
	if fresh && (nonce == "" || len(nonce) > maxNonce || strings.Trim(nonce, nonceBytes) != "") {
		return 0, fmt.Errorf("blob key %.80q: does not end in 1 to %d letters and digits", key, maxNonce)
	}
	instant := rest[:minus] + digits
	t, err = strconv.ParseInt(instant, 10, 64)
	var again [20]byte // of any int64
	if err != nil || string(strconv.AppendInt(again[:0], t, 10)) != instant {
		return 0, fmt.Errorf("blob key %.80q: has no instant in Unix nanoseconds behind the slash", key)
	}
	return t, nil
}

// CheckTenant returns an error unless tenant is an id that every store and
// broker can hold apart from others: empty, or 1 to 64 of the ASCII letters,
// digits and "-_.".
func CheckTenant(tenant string) error {
	if len(tenant) > 64 {
		return &TenantError{tenant, "longer than 64 bytes"}
	}
	for i := range len(tenant) {
		if !tenantByte(tenant[i]) {
			return &TenantError{tenant, "holds characters other than letters, digits and -_."}
		}
	}
	return nil
}

func tenantByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '_' || c == '.'
}

// TenantError says that a tenant id is not one that CheckTenant lets through.
type TenantError struct{ Tenant, Reason string }

func (e *TenantError) Error() string {
	return fmt.Sprintf("tenant id %.80q: %s", e.Tenant, e.Reason)
}

// Floor returns the greatest n with n·unit ≤ t, also for t before the epoch.
func Floor(t, unit int64) int64 {
	n := t / unit
	if t%unit < 0 {
		n--
	}
	return n
}
