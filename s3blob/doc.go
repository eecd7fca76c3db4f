// Package s3blob keeps blobs in a bucket of Amazon S3, or of a server that
// speaks its protocol. A Tier is an authority in the sense of package tiered:
// it never overwrites, and what it stored it finds.
//
// # Format
//
// A blob is one object. The object's key is the blob's key, and the object's
// body is the blob's bytes. These are the objects that Weave Scope's collectors
// write, so both may share a bucket. Put adds the metadata
// x-amz-meta-timeblob-put, a random text that tells one put from another; no
// reader needs it. Frozen.
//
// # Reading
//
// An object that S3 has a checksum of is checked against it. All objects of
// this package have one (CRC-32), and so has every object uploaded to Amazon
// since the end of 2024. An object without one, as Scope wrote them, is checked
// for its length. Only the error NoSuchKey means that there is no blob. S3
// answers with 403 instead when the caller lacks s3:ListBucket, which is then
// an error.
//
// # Writing
//
// A put carries If-None-Match: *, so that S3 itself refuses a key that is
// taken. A put may take effect although it was reported as failed: its answer
// is lost, or comes after the attempt's timeout. Its next attempt then finds the
// key taken. So does a put that repeats an earlier one. The tier compares the
// metadata of the object that it finds with its own, which costs a HEAD. When the
// object is its own, Put returns nil, or ErrOwn if an earlier Put has sent it.
//
// An answer with status 200 may be a proxy's. An answer about an object must have
// an ETag, and the answer to a list or a deletion must be one. A server that
// refuses a put because its key is taken, and knows no object there, is
// not believed: Put returns an error.
//
// A server that does not know If-None-Match refuses every put, with the status
// 501 or 400. Put then returns an UnsupportedError, which names
// Options.Unconditional as the remedy; Fault returns it for readiness checks.
// A server that refuses checksum headers is sent Content-MD5 instead, once it
// has taken a put in that form.
//
// # Retries
//
// Every request has a deadline that covers the last byte of the answer's body,
// and the GET or PUT of an object has another one over all of its requests. The
// SDK's standard retryer resends a request after throttling, after a status of
// 500 or above, when a connection breaks, when the deadline passes, when a body
// breaks off or does not match its checksum, and after 409
// ConditionalRequestConflict, which S3 documents as to be retried. The waits
// are random between zero and 50 ms, doubling up to 2 s. The SDK's adaptive
// mode is not used: it slows down every request of a client when S3 throttles
// some, but S3 throttles by prefix, and every row of the index is a prefix of
// its own. A GET is not sent twice for the sake of speed: the tiers above hide
// slow reads better.
//
// Retries are paid for from a bucket of tokens, which the SDK refills with
// successes only, so that after an outage a client with little to do goes
// without retries for long. Here time refills it as well, for
// Options.RetryRate retries a second.
//
// # Permissions
//
// s3:GetObject and s3:PutObject on the bucket's objects and s3:ListBucket on
// the bucket; Delete needs s3:DeleteObject, and CreateBucket needs
// s3:CreateBucket.
package s3blob
