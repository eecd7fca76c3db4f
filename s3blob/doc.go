// Package s3blob keeps blobs in a bucket of Amazon S3, or of a server that
// speaks its protocol. A Tier is an authority in the sense of package tiered:
// it never overwrites, and what it stored it finds.
//
// # Format
//
// A blob is one object: the object's key is the blob's key as it is, the
// object's body is the blob's bytes as they are, with no metadata that a
// reader needs. These are the objects that Weave Scope's collectors write, so
// both may share a bucket. Frozen.
//
// # Reading
//
// An object that S3 has a checksum of is checked against it; all that this
// package writes have one (CRC-32), and so has whatever was uploaded to Amazon
// since the end of 2024. An object without one, as Scope wrote them, is checked
// for its length. Only the error NoSuchKey means that a blob is not there. S3
// answers with 403 in its place when the caller lacks s3:ListBucket, which is
// then an error.
//
// # Writing
//
// A put carries If-None-Match: *, so that S3 itself refuses a key that is
// taken. When the answer to a put is lost, it is put again, and S3 may refuse
// the second because of the first: then Put returns fs.ErrExist although the
// blob is stored. Choose another key; the object that nobody points to is
// left to the bucket's lifecycle rules.
//
// # Retries
//
// Every request has a deadline that covers the last byte of the answer's body,
// and an object's GET or PUT another one over all of its requests. Requests
// are retried by the SDK's standard retryer on throttling, on 5xx, when a
// connection breaks, when the deadline passes, when a body breaks off or does
// not match its checksum, and on 409 ConditionalRequestConflict, which S3
// documents as to be retried. The waits are random between zero and 50 ms,
// doubling up to 2 s. The adaptive mode is not used: it slows down every
// request of a client when S3 throttles some, but S3 throttles by prefix, and
// every row of the index is a prefix of its own.
//
// Retries are paid for from a bucket of tokens, which the SDK refills with
// successes only, so that after an outage a client with little to do goes
// without retries for long. This one also refills with time: one retry a
// second, whatever happened before, and all of it after 100 seconds.
//
// # Permissions
//
// s3:GetObject and s3:PutObject on the bucket's objects and s3:ListBucket on
// the bucket; for CreateBucket also s3:CreateBucket.
package s3blob
