package profiles

import (
	"net/http"
	"time"

	"github.com/timeblob/timeblob/examples/types"
)

// ServeHTTP answers GET ?from=…&to=… with the merged profile of a range in pprof's
// format, which go tool pprof reads from a URL. The instants are as in RFC 3339;
// without them the range is the last hour, the open tick included. Every other
// parameter is a label that the series must have.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	match, to := Labels{}, time.Now().Add(time.Minute)
	from := to.Add(-time.Hour)
	for name, values := range r.URL.Query() {
		var err error
		switch name {
		case "from":
			from, err = time.Parse(time.RFC3339Nano, values[0])
		case "to":
			to, err = time.Parse(time.RFC3339Nano, values[0])
		case "seconds": // go tool pprof sends it with -seconds; it has no meaning for what is stored
		default:
			match[name] = values[0]
		}
		if err != nil {
			http.Error(w, name+": "+err.Error(), http.StatusBadRequest)
			return
		}
	}
	answer, err := s.Range(r.Context(), match, from, to)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case answer.Entries == 0:
		http.Error(w, "no series with these labels has a profile in the range", http.StatusNotFound)
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		_ = types.CloneProfile(answer.Value).Write(w) // Write writes to the profile, which is shared; an error means that the client left
	}
}
