package fleet

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var brokenToo = flag.Bool("broken", false, "run TestBrokenLines, which builds the product once for each line: some minutes")

// broken is one line of the product that is made wrong. The simulation must find it.
type broken struct {
	what     string
	file     string // below bucket
	old, new string
}

var brokenLines = []broken{
	{"a value's key is not noted before the first put", "journal.go",
		"	if len(p.records) == 0 || noted.Key", "	if true || noted.Key"},
	{"an own put that is found is taken for another writer's, so that the entry is indexed twice", "flush.go",
		"	if i := slices.IndexFunc(there, p.isOwn); i >= 0 {", "	if i := slices.IndexFunc(there, p.isOwn); false && i >= 0 {"},
	{"any entry at the instant is taken for an own put", "flush.go",
		"	if i := slices.IndexFunc(there, p.isOwn); i >= 0 {", "	if i := max(0, slices.IndexFunc(there, p.isOwn)); len(there) > 0 {"},
	{"what is held is counted beside its entry", "held.go",
		"		if v.foreign || !names(entries, v.Entry) {", "		if true {"},
	{"a querier does not ask again when a tick was sealed meanwhile", "held.go",
		"	if hasWithin(entries, h.Next, math.MaxInt64) {", "	if false && hasWithin(entries, h.Next, math.MaxInt64) {"},
	{"a querier does not ask whether the process that holds values is the same", "held.go",
		"	return h.IsOpen && (beside >= after || hasWithin(entries, after, math.MaxInt64)) ||\n", "	return false &&\n"},
	{"commits of an earlier epoch count as synced", "internal/unsynced/unsynced.go",
		"	if begun != s.epoch {\n", "	if false {\n"},
	{"a deletion does not fence pending values", "sealed.go",
		"		p.withdrawn.Store(true)\n", ""},
	{"a deletion does not end the records of what it withdraws", "delete.go",
		"	if err := c.endUnstored(ctx, p); err != nil {\n		return err\n	}\n	c.release(p)\n", "	c.release(p)\n"},
	{"a deletion deletes the blobs of entries that came meanwhile", "internal/erase/round.go",
		"	if err := r.spare(ctx); err != nil {\n		return err\n	}\n", ""},
	{"a deletion leaves the open tick alone", "sealed.go",
		"	if t.open.value != nil {\n		t.seal(t.shared.now())\n	}\n	t.held = slices.DeleteFunc", "	t.held = slices.DeleteFunc"},
	{"a deletion leaves the live window alone", "sealed.go",
		"func(l *lazy[T]) bool { return l.at >= from && l.at < to })\n	t.emptied", "func(l *lazy[T]) bool { return false })\n	t.emptied"},
	{"a late put does not hold its spans", "internal/levels/hold.go",
		"	return deadline, p.hold(ctx, s, w, deadline)\n", "	if !w.Deletes {\n		return deadline, nil\n	}\n	return deadline, p.hold(ctx, s, w, deadline)\n"},
	{"a deletion does not hold its spans", "internal/levels/hold.go",
		"	if !w.Deletes {\n", "	if w.Deletes {\n		return deadline, nil\n	}\n	{\n"},
	{"a hold ends with the put's deadline, though the put may still arrive", "internal/levels/hold.go",
		"	until := deadline.Add(s.Linger).UnixNano()\n", "	until := deadline.UnixNano() - int64(s.extra())\n"},
	{"a span is claimed while it is held", "internal/levels/claim.go",
		"p.Kind == Hold && expired:", "p.Kind == Hold:"},
	{"a seal replaces whatever its place holds", "internal/levels/claim.go",
		"	return p.swap(ctx, claim, next)\n", "	there, err := p.Place(ctx, claim.Span)\n	if err != nil {\n		return Place{}, err\n	}\n	return p.swap(ctx, there, next)\n"},
}

// brokenHarshly are lines that only harsh fleets find, by the kind of fleet.
var brokenHarshly = map[string][]broken{
	"late": {
		{"a deletion leaves an entry that came again while it waited", "internal/erase/round.go",
			"		_, err := r.removeAgain(ctx, row, entries, keys.removed)\n		return err\n", "		return nil\n"},
	},
	"disk": {
		{"a deletion leaves the entries that failed attempts may have put", "internal/erase/round.go",
			"	if err := r.remove(ctx, more); err != nil {\n		return err\n	}\n", "	_ = more\n"},
	},
}

// apply returns the file's text with the line made wrong.
func (b *broken) apply(t *testing.T) (file string, text []byte) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", filepath.FromSlash(b.file)))
	if err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		t.Fatalf("%s: the line stands there %d times: %q", b.what, n, b.old)
	}
	return file, []byte(strings.Replace(string(text), b.old, b.new, 1))
}

var foundBy = regexp.MustCompile(`(?m)^(?:\s+\S+\.go:\d+: (?:seed |the seal|the roll-up)|panic: ).*$`)

// TestBrokenLines makes one line of the product wrong at a time and runs fleets: some seed must fail. Without -broken it
// only checks that the lines are there.
func TestBrokenLines(t *testing.T) {
	t.Parallel()
	lookFor(t, "", brokenLines)
	for kind, lines := range brokenHarshly {
		lookFor(t, kind, lines)
	}
}

func lookFor(t *testing.T, harsh string, lines []broken) {
	for i, b := range lines {
		file, text := b.apply(t)
		if !*brokenToo {
			continue
		}
		t.Run(b.what, func(t *testing.T) {
			dir := t.TempDir()
			wrong, overlay := filepath.Join(dir, "wrong.go"), filepath.Join(dir, "overlay.json")
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: wrong}})
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string][]byte{wrong: text, overlay: replace} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-failfast", "-overlay", overlay, "-run", "^TestFleet$",
				"-seeds", fmt.Sprint(*brokenSeeds), "-harsh", harsh, "-timeout", "20m", ".").CombinedOutput()
			found := foundBy.Find(out)
			if err == nil || found == nil {
				t.Fatalf("line %d: %d fleets do not find it: %v\n%.2000s", i, *brokenSeeds, err, out)
			}
			t.Logf("found by %.300s", bytes.TrimSpace(found))
		})
	}
}

var brokenSeeds = flag.Int("brokenseeds", 200, "how many fleets look for each broken line")
