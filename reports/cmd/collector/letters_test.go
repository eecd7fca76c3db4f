package main

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/timeblob/timeblob/reports/cmd/collector/internal/remote"
)

// ofOneReport is what OPERATIONS.md promises: the largest report decodes to 600 MiB, and to twice that until garbage is
// collected.
const ofOneReport = 2 * 600 << 20

// letters returns a report of one host with a value of 50 MiB of one letter, in about 60 kB.
func letters(letter byte) []byte {
	const n = 50 << 20
	id := string([]byte{letter}) + ";<host>"
	head := "\x81\xa4Host\x81\xa5nodes\x81\xa8" + id + "\x83\xa2id\xa8" + id + "\xa8topology\xa4host\xa6latest\x81\xa1k\x82" +
		"\xa9timestamp\xb42023-11-14T22:13:20Z\xa5value\xdb"
	return packed(head+string(binary.BigEndian.AppendUint32(nil, n)), string(letter), "", n)()
}

// TestReportsOfOneLetter posts 14 such reports of 14 tenants at a time, and asks for one. All are accepted, and the process
// takes no more memory than is promised for the largest one.
func TestReportsOfOneLetter(t *testing.T) {
	t.Parallel()
	c := startBuilt(t, "--tenant-header", remote.TenantHeader)
	idle := c.memory()
	var posts errgroup.Group
	for i := range 14 {
		posts.Go(func() error {
			b := bomb{"letters", http.StatusOK, func() []byte { return letters('a' + byte(i)) }, []string{asMsgpack, asGzip}}
			status, said := c.dropFor(t, b, fmt.Sprint("tenant-", i))
			b.check(t, status, said)
			return nil
		})
	}
	_ = posts.Wait()
	r := must1(http.NewRequest(http.MethodGet, c.url+"/api/report", nil))
	r.Header.Set(remote.TenantHeader, "tenant-0")
	r.Header.Set("Accept", strings.TrimPrefix(asMsgpack, "Content-Type: "))
	if status, said := heard(t, must1(http.DefaultClient.Do(r))); status != http.StatusOK || len(said) == 0 {
		t.Errorf("the answer has status %d and %d bytes", status, len(said))
	}
	http.DefaultClient.CloseIdleConnections()
	more := c.peak(t) - idle
	t.Logf("they took %d MB more than idle", more/1e6)
	if more > ofOneReport {
		t.Errorf("the process took %d bytes more than idle, %d are promised", more, int64(ofOneReport))
	}
	if code := c.stop(); code != 0 || c.said() != "" {
		t.Errorf("exit %d: %s", code, c.said())
	}
}
