// Package wire reads and writes reports as Weave Scope exchanges and stores
// them: msgpack or JSON, gzip'd or not.
//
// A [Codec] reads and writes blobs, which are gzip'd msgpack. [DecodeMsgpack],
// [DecodeJSON], [AppendMsgpack] and [AppendJSON] work on bytes that are not
// compressed; [ReadBody] inflates what a client sends. Every function bounds the
// memory that it takes by the length of its input.
package wire
