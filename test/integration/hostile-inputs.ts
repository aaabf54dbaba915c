/** When the input is sent: as the first thing, after the server's features, or as a bound session. */
export type Phase = 'first' | 'unauthenticated' | 'bound';

export interface HostileInput {
  name: string;
  phases: readonly Phase[];
  /** What is sent; `to` is somebody who must never get any of it, `domain` the one being served. */
  bytes: (target: { to: string; domain: string }) => string | Buffer;
  /** The stream errors that RFC 6120 allows for it; several where it leaves the choice. */
  errors: readonly string[];
}

const STREAMS = 'http://etherx.jabber.org/streams';
const ANY_TIME: readonly Phase[] = ['unauthenticated', 'bound'];

const header = (domain: string, changes: { xmlns?: string; streams?: string; rest?: string } = {}) =>
  `<stream:stream xmlns='${changes.xmlns ?? 'jabber:client'}' xmlns:stream='${changes.streams ?? STREAMS}' to='${domain}' version='1.0' ${changes.rest ?? ''}>`;

/** A message that carries `inside`; should any of it be delivered, `smuggled` tells. */
const around = (inside: string) => (target: { to: string }) =>
  `<message to='${target.to}' type='chat'><body>smuggled</body>${inside}</message>`;

/** Bytes that are no text: each element is text or a byte. */
const raw = (parts: readonly (string | number)[]) =>
  Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));

const utf8 =
  (...bytes: number[]) =>
  (target: { to: string }) =>
    raw([`<message to='${target.to}' type='chat'><body>smuggled `, ...bytes, '</body></message>']);

export const HOSTILE_INPUTS: readonly HostileInput[] = [
  // What XMPP forbids of XML (RFC 6120 §11.1).
  {
    name: 'a comment in a stanza',
    phases: ANY_TIME,
    bytes: around('<!-- x -->'),
    errors: ['restricted-xml'],
  },
  {
    name: 'a comment between stanzas',
    phases: ANY_TIME,
    bytes: () => '<!-- x -->',
    errors: ['restricted-xml'],
  },
  {
    name: 'a comment before the header',
    phases: ['first'],
    bytes: ({ domain }) => `<!-- x -->${header(domain)}`,
    errors: ['restricted-xml'],
  },
  {
    name: 'a processing instruction',
    phases: ANY_TIME,
    bytes: around('<?php x?>'),
    errors: ['restricted-xml'],
  },
  {
    name: 'a document type',
    phases: ['first'],
    bytes: ({ domain }) => `<!DOCTYPE stream>${header(domain)}`,
    errors: ['restricted-xml'],
  },
  {
    name: 'a document type with entities',
    phases: ['first'],
    bytes: ({ domain }) =>
      `<?xml version='1.0'?><!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>${header(domain)}`,
    errors: ['restricted-xml'],
  },
  {
    name: 'a document type in a stanza',
    phases: ANY_TIME,
    bytes: around('<!DOCTYPE x>'),
    errors: ['restricted-xml'],
  },
  {
    name: 'an undefined entity',
    phases: ANY_TIME,
    bytes: around('&nbsp;'),
    errors: ['restricted-xml', 'not-well-formed'],
  },

  // What is no XML at all, or not this version of it.
  {
    name: 'an XML declaration between stanzas',
    phases: ANY_TIME,
    bytes: () => "<?xml version='1.0'?>",
    errors: ['restricted-xml', 'not-well-formed'],
  },
  {
    name: 'XML 1.1',
    phases: ['first'],
    bytes: ({ domain }) => `<?xml version='1.1'?>${header(domain)}`,
    errors: ['not-well-formed', 'unsupported-version'],
  },
  {
    name: 'a label for another encoding',
    phases: ['first'],
    bytes: ({ domain }) => `<?xml version='1.0' encoding='ISO-8859-1'?>${header(domain)}`,
    errors: ['unsupported-encoding'],
  },
  {
    name: 'UTF-16 with a byte order mark',
    phases: ['first'],
    bytes: ({ domain }) => Buffer.from(`\uFEFF${header(domain)}`, 'utf16le'),
    errors: ['unsupported-encoding', 'not-well-formed'],
  },
  {
    name: 'UTF-16 without one',
    phases: ['first'],
    bytes: ({ domain }) => Buffer.from(header(domain), 'utf16le').swap16(),
    errors: ['unsupported-encoding', 'not-well-formed'],
  },
  {
    name: 'a stray byte',
    phases: ANY_TIME,
    bytes: utf8(0xff),
    errors: ['not-well-formed', 'unsupported-encoding'],
  },
  {
    name: 'overlong UTF-8',
    phases: ANY_TIME,
    bytes: utf8(0xc0, 0xaf),
    errors: ['not-well-formed', 'unsupported-encoding'],
  },
  {
    name: 'a surrogate in UTF-8',
    phases: ANY_TIME,
    bytes: utf8(0xed, 0xa0, 0x80),
    errors: ['not-well-formed', 'unsupported-encoding'],
  },
  {
    name: 'UTF-8 above U+10FFFF',
    phases: ANY_TIME,
    bytes: utf8(0xf4, 0x90, 0x80, 0x80),
    errors: ['not-well-formed', 'unsupported-encoding'],
  },
  { name: 'a NUL', phases: ANY_TIME, bytes: utf8(0), errors: ['not-well-formed'] },
  { name: 'a control character', phases: ANY_TIME, bytes: utf8(0x0b), errors: ['not-well-formed'] },
  { name: 'U+FFFE', phases: ANY_TIME, bytes: utf8(0xef, 0xbf, 0xbe), errors: ['not-well-formed'] },
  ...['&#0;', '&#1;', '&#xD800;', '&#xFFFF;', '&#x110000;', '&#;', '&#xZZ;'].map((reference) => ({
    name: `the character reference ${reference}`,
    phases: ANY_TIME,
    bytes: around(reference),
    errors: ['not-well-formed'],
  })),
  { name: 'a bare ampersand', phases: ANY_TIME, bytes: around('a & b'), errors: ['not-well-formed'] },
  { name: ']]> in text', phases: ANY_TIME, bytes: around('a ]]> b'), errors: ['not-well-formed'] },
  { name: '< in an attribute', phases: ANY_TIME, bytes: around("<a b='<'/>"), errors: ['not-well-formed'] },
  { name: 'a mismatched end tag', phases: ANY_TIME, bytes: around('<a></b>'), errors: ['not-well-formed'] },
  {
    name: 'a duplicate attribute',
    phases: ANY_TIME,
    bytes: around("<a b='1' b='2'/>"),
    errors: ['not-well-formed'],
  },
  {
    name: 'a duplicate attribute by namespace',
    phases: ANY_TIME,
    bytes: around("<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>"),
    errors: ['not-well-formed'],
  },
  {
    name: 'an attribute without quotes',
    phases: ANY_TIME,
    bytes: around('<a b=1/>'),
    errors: ['not-well-formed'],
  },
  {
    name: 'no space between attributes',
    phases: ANY_TIME,
    bytes: around("<a b='1'c='2'/>"),
    errors: ['not-well-formed'],
  },
  { name: 'a name that is none', phases: ANY_TIME, bytes: around('<1a/>'), errors: ['not-well-formed'] },

  // Namespaces.
  {
    name: 'an undeclared prefix',
    phases: ANY_TIME,
    bytes: around('<q:a/>'),
    errors: ['bad-namespace-prefix', 'not-well-formed'],
  },
  {
    name: 'an undeclared prefix of an attribute',
    phases: ANY_TIME,
    bytes: around("<a q:b='1'/>"),
    errors: ['bad-namespace-prefix', 'not-well-formed'],
  },
  {
    name: 'two colons in a name',
    phases: ANY_TIME,
    bytes: around('<a:b:c/>'),
    errors: ['not-well-formed', 'bad-namespace-prefix'],
  },
  {
    name: 'a prefix bound to nothing',
    phases: ANY_TIME,
    bytes: around("<p:a xmlns:p=''/>"),
    errors: ['not-well-formed', 'bad-namespace-prefix'],
  },
  {
    name: 'xml bound anew',
    phases: ANY_TIME,
    bytes: around("<a xmlns:xml='urn:x'/>"),
    errors: ['not-well-formed', 'bad-namespace-prefix'],
  },
  {
    name: 'xmlns bound',
    phases: ANY_TIME,
    bytes: around("<a xmlns:xmlns='urn:x'/>"),
    errors: ['not-well-formed', 'bad-namespace-prefix'],
  },

  // Headers.
  {
    name: 'the content namespace of servers',
    phases: ['first'],
    bytes: ({ domain }) => header(domain, { xmlns: 'jabber:server' }),
    errors: ['invalid-namespace'],
  },
  {
    name: 'no content namespace',
    phases: ['first'],
    bytes: ({ domain }) => `<stream:stream xmlns:stream='${STREAMS}' to='${domain}' version='1.0'>`,
    errors: ['invalid-namespace', 'bad-format', 'invalid-xml'],
  },
  {
    name: 'another namespace for the stream',
    phases: ['first'],
    bytes: ({ domain }) => header(domain, { streams: 'urn:example:streams' }),
    errors: ['invalid-namespace'],
  },
  {
    name: 'another root',
    phases: ['first'],
    bytes: ({ domain }) => header(domain).replace('<stream:stream', '<stream:flow'),
    errors: ['bad-format', 'invalid-namespace', 'invalid-xml'],
  },
  {
    name: 'a web request',
    phases: ['first'],
    bytes: ({ domain }) => `GET / HTTP/1.1\r\nHost: ${domain}\r\n\r\n`,
    errors: ['not-well-formed', 'bad-format'],
  },
  {
    name: 'no address',
    phases: ['first'],
    bytes: ({ domain }) => header(domain).replace(`to='${domain}'`, ''),
    errors: ['improper-addressing', 'host-unknown'],
  },
  {
    name: 'a second header',
    phases: ANY_TIME,
    bytes: ({ domain }) => header(domain),
    errors: ['bad-format', 'invalid-xml', 'unsupported-stanza-type', 'not-authorized'],
  },

  // Stanzas that are none.
  {
    name: 'a stanza of servers',
    phases: ['bound'],
    bytes: ({ to }) => `<message xmlns='jabber:server' to='${to}'><body>smuggled</body></message>`,
    errors: ['unsupported-stanza-type', 'invalid-namespace', 'bad-format'],
  },
  {
    name: 'a stanza without a namespace',
    phases: ['bound'],
    bytes: ({ to }) => `<message xmlns='' to='${to}'><body>smuggled</body></message>`,
    errors: ['unsupported-stanza-type', 'invalid-namespace', 'bad-format'],
  },
  {
    name: 'text between stanzas',
    phases: ANY_TIME,
    bytes: () => 'hello',
    errors: ['bad-format', 'not-well-formed'],
  },

  // Too much.
  {
    name: 'nesting 3,500 deep',
    phases: ANY_TIME,
    bytes: around('<a>'.repeat(3_500) + '</a>'.repeat(3_500)),
    errors: ['policy-violation'],
  },
  {
    name: 'nesting 3,500 deep in a registration',
    phases: ['unauthenticated'],
    bytes: ({ domain }) =>
      `<iq type='set' id='r' to='${domain}'><query xmlns='jabber:iq:register'>${'<a>'.repeat(3_500)}`,
    errors: ['policy-violation'],
  },
  {
    name: 'a header of 20,000 bytes',
    phases: ['first'],
    bytes: ({ domain }) => header(domain, { rest: `id='${'x'.repeat(20_000)}'` }),
    errors: ['policy-violation'],
  },
  {
    name: '20,000 bytes before authentication',
    phases: ['unauthenticated'],
    bytes: around('x'.repeat(20_000)),
    errors: ['policy-violation'],
  },
  {
    name: '300,000 bytes that do not end',
    phases: ['bound'],
    bytes: ({ to }) => `<message to='${to}'><body>${'x'.repeat(300_000)}`,
    errors: ['policy-violation'],
  },
  {
    name: 'a name that does not end',
    phases: ANY_TIME,
    bytes: () => `<${'x'.repeat(300_000)}`,
    errors: ['policy-violation'],
  },
  {
    name: 'an ampersand and no end',
    phases: ['bound'],
    bytes: ({ to }) => `<message to='${to}'><body>&${'x'.repeat(300_000)}`,
    errors: ['not-well-formed', 'restricted-xml', 'policy-violation'],
  },
  {
    name: 'a thousand attributes',
    phases: ANY_TIME,
    bytes: around(`<a ${Array.from({ length: 1_000 }, (_, n) => `a${n}='1'`).join(' ')}/>`),
    errors: ['policy-violation'],
  },
  {
    name: '60,000 children',
    phases: ['bound'],
    bytes: around('<a/>'.repeat(60_000)),
    errors: ['policy-violation'],
  },
];
