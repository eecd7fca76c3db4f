package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
)

// TestALyingCache puts a valid report of another tenant into a real memcached under the key of a stored report.
// An answer about a report of ours is right, because its entry has a sum. An answer about a report of Scope's is
// right with sums-only, and without it shows the other tenant's report, as OPERATIONS says.
func TestALyingCache(t *testing.T) {
	t.Parallel()
	address, _ := servertest.Memcached(t)
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	store := create(t, index, blobs)
	dir := t.TempDir()
	ts := int64(1_700_000_000_000_000_000)
	ours := write(t, filepath.Join(dir, strconv.FormatInt(ts, 10)+".msgpack.gz"), sample("truth", 1))
	lie := must1(os.ReadFile(write(t, filepath.Join(dir, "lie.msgpack.gz"), sample("lie", 1))))

	must(t, append([]string{"import", "--tenant", "ours", ours}, store...)...)
	openRaw(t, index, blobs).put(t, "scope", ts, must1(files.Encode(sample("truth", 1), ".msgpack.gz")))
	cache := must1(memcache.Open(t.Context(), memcache.List(address), nil))
	defer cache.Close()
	for _, c := range []struct{ tenant, options, want string }{
		{"ours", "", "truth"}, {"ours", "?sums-only=true", "truth"},
		{"scope", "", "lie"}, {"scope", "?sums-only=true", "truth"},
	} {
		_, key := keys(c.tenant, ts)
		if err := cache.Put(t.Context(), key, lie); err != nil {
			t.Fatal(err)
		}
		answer := must(t, append([]string{"query", "--json", "--tenant", c.tenant, "--at", strconv.FormatInt(ts+1, 10),
			"--cache", "memcached://" + address + c.options}, store...)...)
		if !strings.Contains(answer, c.want+";<host>") {
			t.Errorf("the tenant %s with the cache's options %q: no %s in %.300s", c.tenant, c.options, c.want, answer)
		}
	}
}

// put stores a report as Scope's collectors do.
func (r *raw) put(t *testing.T, tenant string, ts int64, blob []byte) {
	t.Helper()
	item, key := keys(tenant, ts)
	_, err := r.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &r.bucket, Key: &key, Body: bytes.NewReader(blob)})
	if err != nil {
		t.Fatal(err)
	}
	item["report"] = &types.AttributeValueMemberS{Value: key}
	if _, err := r.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &r.table, Item: item}); err != nil {
		t.Fatal(err)
	}
}
