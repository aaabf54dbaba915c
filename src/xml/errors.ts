/** The stream error conditions of RFC 6120 §4.9.3 that reading XML can lead to. */
export type XmlErrorCondition =
  | 'bad-format'
  | 'bad-namespace-prefix'
  | 'invalid-namespace'
  | 'not-well-formed'
  | 'policy-violation'
  | 'restricted-xml'
  | 'unsupported-encoding';

/**
 * What is wrong with the input. Every reason has one condition.
 *
 * - `restricted-xml`: well-formed or not, it is of a kind that XMPP forbids (RFC 6120 §11.1). An entity other
 *   than the five predefined ones can only come from a DTD, and §11.1 names it.
 * - `not-well-formed`: violates XML 1.0 or Namespaces in XML 1.0 (RFC 6120 §4.9.3.13 covers both). So does a
 *   version other than 1.0: RFC 6120 §11.8 defines XMPP in terms of XML 1.0 only, and `unsupported-version`
 *   (§4.9.3.25) is about the `version` of XMPP on the stream header.
 *   A namespace name with white space at an end is here too: it is no URI reference (Namespaces in XML 1.0 §2.1), and
 *   some parsers trim it, so that two names are one for them and not for others.
 * - `bad-format`: well-formed, but no stream of stanzas (RFC 6120 §4.9.3.1). A stream header inside the stream
 *   belongs here: `invalid-xml` (§4.9.3.9) is for a server that validates against a schema.
 * - `policy-violation`: over one of the `XmlLimits` (RFC 6120 §4.9.3.14).
 */
const CONDITION_OF = {
  comment: 'restricted-xml',
  'processing-instruction': 'restricted-xml',
  dtd: 'restricted-xml',
  'undefined-entity': 'restricted-xml',

  'invalid-utf8': 'not-well-formed',
  'invalid-char': 'not-well-formed',
  'invalid-char-reference': 'not-well-formed',
  'bare-ampersand': 'not-well-formed',
  'less-than-in-attribute': 'not-well-formed',
  'cdata-end-in-text': 'not-well-formed',
  'invalid-name': 'not-well-formed',
  'malformed-tag': 'not-well-formed',
  'malformed-markup': 'not-well-formed',
  'duplicate-attribute': 'not-well-formed',
  'mismatched-tag': 'not-well-formed',
  'empty-prefix-binding': 'not-well-formed',
  'reserved-prefix': 'not-well-formed',
  'namespace-name': 'not-well-formed',
  'malformed-declaration': 'not-well-formed',
  'misplaced-declaration': 'not-well-formed',
  'xml-version': 'not-well-formed',
  'text-outside-stream': 'not-well-formed',
  'element-outside-stream': 'not-well-formed',
  incomplete: 'not-well-formed',

  encoding: 'unsupported-encoding',

  'undeclared-prefix': 'bad-namespace-prefix',
  'stream-prefix': 'bad-namespace-prefix',

  'stream-namespace': 'invalid-namespace',
  'content-namespace': 'invalid-namespace',

  'not-a-stream': 'bad-format',
  'nested-stream': 'bad-format',
  'text-between-stanzas': 'bad-format',

  'stanza-too-big': 'policy-violation',
  'too-deep': 'policy-violation',
  'too-many-attributes': 'policy-violation',
  'too-many-children': 'policy-violation',
  'too-many-namespaces': 'policy-violation',
} as const satisfies Record<string, XmlErrorCondition>;

/** The closed set of reasons: a metric label, a debug field, and what tests assert. */
export type XmlErrorReason = keyof typeof CONDITION_OF;

/** Why input was refused. A value: reading XML never throws. */
export interface XmlError {
  readonly condition: XmlErrorCondition;
  readonly reason: XmlErrorReason;
}

/** Every reason there is, in the order of the table. */
export const XML_ERROR_REASONS = Object.keys(CONDITION_OF) as readonly XmlErrorReason[];

const ERRORS = new Map<XmlErrorReason, XmlError>(
  XML_ERROR_REASONS.map((reason) => [reason, Object.freeze({ condition: CONDITION_OF[reason], reason })]),
);

/**
 * The error for a reason.
 *
 * @returns one shared frozen value per reason, so that refusing hostile input allocates nothing
 */
export function xmlError(reason: XmlErrorReason): XmlError {
  return ERRORS.get(reason)!;
}
