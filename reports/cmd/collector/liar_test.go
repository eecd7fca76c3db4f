package main

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/timeblob/timeblob/bucket"
	"github.com/timeblob/timeblob/index"
	"github.com/timeblob/timeblob/internal/servertest"
	"github.com/timeblob/timeblob/local"
	"github.com/timeblob/timeblob/memcache"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/files"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/stores"
	"github.com/timeblob/timeblob/reports/cmd/collector/internal/telemetry"
	"github.com/timeblob/timeblob/tiered"
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
	cache := must1(memcache.Open(t.Context(), memcache.List(address), &memcache.Options{Timeout: 10 * time.Second}))
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

// liar is a tier whose blobs a test can replace.
type liar struct {
	authority tiered.Tier
	caches    []tiered.Cache
	replace   func(key string, blob []byte) error
	isCache   bool // so that answers stay exact
}

// TestEveryTierThatLies has each tier in turn give another tenant's valid blob under
// a stored key: a real memcached, a real S3 server, the directory. Decoded values in
// memory and kept merges lie above each. Whatever was read while the tier lied, every
// answer is exact or an error, and exact once the tier is right again. Shortcuts are
// the exception that OPERATIONS names: they have no entry, and so no sum.
func TestEveryTierThatLies(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) liar{"memcached": lyingMemcached, "S3": lyingS3, "directory": lyingDirectory} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testLiar(t, open(t))
		})
	}
}

func testLiar(t *testing.T, l liar) {
	entries, begun := index.NewMemIndex(), time.Unix(1_700_000_000, 0)
	reader := func() *bucket.Quantizer[tally] {
		store := must1(tiered.New(tallies{}, l.authority, &tiered.Options[tally]{Caches: l.caches}))
		t.Cleanup(func() { store.Close(context.Background()) })
		return must1(bucket.NewQuantizer(entries, store, addUp, &bucket.QuantizerOptions[tally]{Quantum: time.Minute}))
	}
	blobs := must1(tiered.New(tallies{}, l.authority, &tiered.Options[tally]{Caches: l.caches}))
	c := must1(bucket.NewCollector(entries, blobs, addUp, nil))
	for i := range 10 {
		at := &bucket.AddOptions{At: begun.Add(time.Duration(i) * 20 * time.Second)}
		for _, tenant := range []string{"ours", "theirs"} {
			if err := c.Add(t.Context(), tenant, tally{tenant: 1}, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(c.Close(t.Context()), blobs.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	ask := func(q *bucket.Quantizer[tally], what string, lies bool) {
		for range 2 { // the second time from what the first one kept
			a, err := q.Range(t.Context(), "ours", begun, begun.Add(time.Hour), nil)
			exact := err == nil && maps.Equal(a.Value, tally{"ours": 10})
			if !exact && (err == nil || !lies || l.isCache) {
				t.Errorf("%s: %v, %v", what, a.Value, err)
			}
		}
	}
	keyOf := func(tenant string) string {
		found := must1(entries.Query(t.Context(), index.RowAt(tenant, begun.UnixNano()), begun.UnixNano(), begun.UnixNano()+1))
		return found[0].Key
	}
	warm, cold := reader(), reader()
	ask(warm, "before", false)
	truth := must1(l.authority.Get(t.Context(), []string{keyOf("ours"), keyOf("theirs")}))
	if err := l.replace(keyOf("ours"), truth[1]); err != nil {
		t.Fatal(err)
	}
	ask(warm, "from memory", false)
	ask(cold, "while it lies", true)
	if !l.isCache {
		if _, err := reader().Range(t.Context(), "ours", begun, begun.Add(time.Hour), nil); err == nil {
			t.Error("a lie of the authority is no error")
		}
	}
	if err := l.replace(keyOf("ours"), truth[0]); err != nil {
		t.Fatal(err)
	}
	ask(cold, "afterwards", false)
}

func lyingMemcached(t *testing.T) liar {
	address, _ := servertest.Memcached(t)
	cache := must1(memcache.Open(t.Context(), memcache.List(address), &memcache.Options{Timeout: 10 * time.Second}))
	t.Cleanup(func() { cache.Close() })
	return liar{authority: new(tiered.MemTier), caches: []tiered.Cache{{Name: "memcached", Tier: cache}}, isCache: true,
		replace: func(key string, blob []byte) error { return cache.Put(t.Context(), key, blob) }}
}

func lyingS3(t *testing.T) liar {
	index, blobs := newTable(t, servertest.SharedDynalite), newBucket(t)
	create(t, index, blobs)
	raw, place := openRaw(t, index, blobs), must1(stores.Parse("--to", index+","+blobs))
	store := must1(place.Open(t.Context(), stores.Options{Logger: telemetry.Warnings(os.Stderr)}))
	t.Cleanup(func() { store.Close() })
	return liar{authority: store.Authority, replace: func(key string, blob []byte) error {
		_, err := raw.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &raw.bucket, Key: &key, Body: bytes.NewReader(blob)})
		return err
	}}
}

func lyingDirectory(t *testing.T) liar {
	db := must1(local.Open(t.TempDir(), nil))
	t.Cleanup(func() { db.Close() })
	return liar{authority: db.Blobs(), replace: func(key string, blob []byte) error {
		return errors.Join(db.Blobs().Delete(t.Context(), []string{key}), db.Blobs().Put(t.Context(), key, blob))
	}}
}
