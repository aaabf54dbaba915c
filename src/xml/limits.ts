/**
 * What one stanza, or the stream header, may cost. Enforced while it is still arriving.
 *
 * Towards a client all five are hard: one more is a `policy-violation` (RFC 6120 §4.9.3.14). Of what a server
 * sends only `stanzaBytes` is hard; the others mark the frame as flawed (`Frame.flaw`).
 */
export interface XmlLimits {
  /** Bytes from the `<` of a stanza, the header or the XML declaration to its last `>`. Whitespace between is free. */
  readonly stanzaBytes: number;
  /** Elements open at one time, the stanza itself being the first. */
  readonly depth: number;
  /** Attributes on one tag, namespace declarations included. */
  readonly attributes: number;
  /** Elements directly inside the stanza: those of which a frame keeps a record. */
  readonly children: number;
  /** Namespace declarations in scope at one time, those of the header not counted. Bounds the search for a prefix. */
  readonly namespaces: number;
}

const MEBIBYTE = 1024 * 1024;

/**
 * Before authentication. 10,000 bytes is what RFC 6120 §13.12 sets as the least a server accepts, and what
 * Prosody allows here; a SASL or registration exchange needs no more than a handful of elements.
 */
export const BEFORE_AUTH: XmlLimits = {
  stanzaBytes: 10_000,
  depth: 20,
  attributes: 32,
  children: 100,
  namespaces: 32,
};

/**
 * After authentication: 256 KiB is what Prosody and ejabberd allow. No protocol nests anywhere near 100 deep,
 * and ejabberd crashes as a whole at 3,500.
 */
export const AFTER_AUTH: XmlLimits = {
  stanzaBytes: 262_144,
  depth: 100,
  attributes: 100,
  children: 1_000,
  namespaces: 128,
};

/**
 * From a server. The operator chose the server, but much of what it relays was written by strangers: 16 MiB
 * bounds the memory, the rest is what a client may be asked to read.
 */
export const FROM_SERVER: XmlLimits = {
  stanzaBytes: 16 * MEBIBYTE,
  depth: 100,
  attributes: 100,
  children: 1_000,
  namespaces: 128,
};

/**
 * For what the program itself has made of a stanza that was within limits when it came, and may have put others around it: reading that
 * again must not fail for a few elements more.
 */
export const MADE_HERE: XmlLimits = {
  stanzaBytes: 64 * MEBIBYTE,
  depth: 1_000,
  attributes: 1_000,
  children: 100_000,
  namespaces: 1_000,
};
