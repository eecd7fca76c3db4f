// Package rollup builds the roll-ups of levels: it decides which spans are due,
// and has each one merged, stored and sealed. It knows neither values nor
// codecs; a Merger does. The protocol of package levels keeps every step safe, so
// that builders of several processes share the work, and one that crashes harms
// nothing.
//
// # Due spans
//
// A tenant is looked at once each time that a span of the shortest level has
// ended longer ago than the lateness. For each level, the spans that ended since
// the last look are due, unless they are sealed, void, or have fewer than two
// pieces: entries, or roll-ups of the level below. The first look at a tenant
// goes back by two spans of the next longer level, so that minutes are built for
// the last two hours, and hours for the last two days. A span that a question has
// merged as a whole is due, too, however old it is, and so is a span that was
// held, once the hold has expired.
//
// Spans are built in the order of their ends, oldest first. One that fails is
// tried again later, after a pause that doubles.
package rollup
