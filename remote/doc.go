// Package remote carries the answers of collectors over HTTP, for values of any
// type that has a codec. A process that only asks questions needs it: its
// [bucket.Querier] must know what collectors in other processes hold that the
// index does not have yet.
//
// A [Handler] serves what a collector holds and, if it has [HandlerOptions].Questions,
// the answers of questions. A [Client] asks a handler. The client is a
// [bucket.Source], and it answers questions as a collector does: Range, RangeMany,
// Steps, Values, Has and Tenants.
//
// # Requests
//
// A request is GET PREFIX/WHAT. The handler looks at the last element of the path
// only, which is one of:
//
//	held, held-tenants                    of the collector
//	range, steps, values, has, tenants    of HandlerOptions.Questions
//
// The query holds:
//
//	v        the version of the format, 1; alone for held-tenants and tenants
//	tenant   the tenant's id; absent or empty for the tenant with the empty id;
//	         for range any number of times
//	from,to  instants as in RFC 3339, with nanoseconds
//	step     the length of a step as in time.ParseDuration; for steps only
//	partial  true when the answer may be partial
//	round    true for RangeOptions.Round; for range only
//	max      RangeOptions.MaxBytes
//
// The client sends a random text in the header Timeblob-Question, and the handler sends it back
// in the same header. A client refuses an answer with another text: a proxy has kept it, or
// gave it to another request. An answer without the header is not checked.
//
// Neither side authenticates the other. Wrap the handler to check who asks for
// which tenant, and give the client an http.Client that sends credentials.
//
// # Answers
//
// An answer that fails before its first byte has a status other than 200, the
// header Timeblob-Reason with a [Reason], the header Timeblob-Detail unless the
// detail is empty, and the message as plain text. Any other answer has the content type application/x-timeblob and this body, which
// is frozen as version 1:
//
//	body      "TBR" | version = 01, 1 | frame | … | end or failed
//	frame     kind, 1 | length of the payload, 4 | CRC-32C of kind, length and payload, 4 | payload
//	  'H'     held:    next, 8 | since, 8 | version of what is held
//	  'S'     sealed:  own = 01, untried = 02, neither = 00, 1 | time, 8 | size, 8 | sum, 16 | text: key | blob
//	  'U'     unread:  as sealed up to the key | text: reason | message
//	  'O'     open:    blob
//	  'A'     answer:  from, 8 | to, 8 | provisional, 8 | entries, 8 | blob
//	  'V'     value:   time, 8 | text: tenant | text: key | blob
//	  'M'     missing: time, 8 | text: tenant | text: key | text: source | text: reason | message
//	  'P'     present: 00 or 01, 1
//	  'T'     tenant:  id
//	  'F'     failed:  text: reason | text: detail | message
//	  'E'     end:     nothing
//	text      length, 2 | bytes
//
// Numbers are big-endian. Instants are Unix nanoseconds, and the smallest number
// stands for the zero time. A blob is an encoded value. It is empty in an answer
// of no entries, whose value is the zero value. The detail of the reason [Coarser]
// is a JSON object with the fields of a [bucket.CoarserError]: tenant, and the
// instants from, to, nearestFrom and nearestTo as in RFC 3339. Any other reason's is
// empty.
//
//	held      'H', then any number of 'S' and 'U', then at most one 'O'; a 'U' is a
//	          value that cannot be read or sent, without a key when it is the open tick's
//	range     any number of 'M', then 'A'; without round, from and to are the zero time
//	steps     for each step: any number of 'M', then 'A'
//	values    any number of 'V' and 'M', in order; an 'M' is a value that is missing
//	has       one 'P'
//	tenants, held-tenants    any number of 'T'
//
// A body without 'E' or 'F' was cut short. The open tick of "acme", whose blob is
// "ab", held by a collector that sealed at instant 1 and seals next at instant 2:
//
//	54 42 52 01                                               "TBR", version 1
//	48 00 00 00 12 cd 69 99 6f 00 00 00 00 00 00 00 02        'H' next 2
//	00 00 00 00 00 00 00 01 63 31                             since 1, version "c1"
//	4f 00 00 00 02 ce ed 2c 24 61 62                          'O' "ab"
//	45 00 00 00 00 aa 77 cd 87                                'E'
package remote
