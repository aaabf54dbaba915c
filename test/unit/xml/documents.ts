import { Buffer } from 'node:buffer';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { HEADER } from './stream-reading.js';

const CORPUS = new URL('../../corpus/xml/', import.meta.url);

/** The documents of a folder of the corpus. */
export function corpus(folder: 'accepted' | 'refused'): [name: string, bytes: Buffer][] {
  const url = new URL(`${folder}/`, CORPUS);
  return readdirSync(url).map((name) => [name, readFileSync(new URL(name, url))]);
}

const space = fc.constantFrom('', '', '', ' ', '\n', '\t ');
const someSpace = fc.constantFrom(' ', ' ', ' ', '\n', '  ', '\r\n\t');
// Names that the fourth and the fifth edition of XML 1.0 allow alike: Expat goes by the fourth.
const localName = fc.constantFrom('a', 'b', 'body', 'x-1', '_y.z', 'élan', 'имя', '日本', 'xmlnsx');
const valuePiece = fc.constantFrom(
  'x',
  'romeo@example.net',
  ' ',
  '\n',
  '\t',
  '\r\n',
  'é',
  '€',
  '😀',
  '&amp;',
  '&lt;',
  '&#65;',
  '&#x1F600;',
  '&#9;',
  '&#xD;',
  '>',
  ']]>',
  '/',
  '=',
  '\u0085',
  '\ufdd0',
  'a long piece of value that takes several words',
);
const textPiece = fc.constantFrom(
  'x',
  'Art thou not Romeo, and a Montague?',
  ' ',
  '\n',
  '\r\n',
  '\r',
  'é',
  '€',
  '😀',
  '&amp;',
  '&gt;',
  '&apos;',
  '&quot;',
  '&#x20AC;',
  '&#0065;',
  '>',
  '] ',
  ']] ',
  '"',
  "'",
  '\u007f',
  '\u0080',
  '\ufffd',
  '<![CDATA[]]>',
  '<![CDATA[<a>&b;]]]]>',
  '<![CDATA[é>]]>',
);
const uri = fc.constantFrom(
  'u',
  'urn:xmpp:delay',
  'jabber:client',
  'urn&#58;x',
  'é',
  'http://jabber.org/protocol/muc#user',
);

const attributes = fc
  .uniqueArray(fc.tuple(fc.constantFrom('', '', '', 'p:', 'q:', 'xml:'), localName), {
    maxLength: 5,
    // p and q never have the same URI below, so that names that differ as written differ.
    selector: ([prefix, local]) => prefix + local,
  })
  .chain((names) =>
    fc.tuple(
      ...names.map(([prefix, local]) =>
        fc
          .tuple(someSpace, space, space, fc.constantFrom("'", '"'), fc.array(valuePiece, { maxLength: 4 }))
          .map(
            ([s, t, u, quote, value]) => `${s}${prefix}${local}${t}=${u}${quote}${value.join('')}${quote}`,
          ),
      ),
    ),
  )
  .map((all) => all.join(''));

const declaration = fc.oneof(
  fc.constant(''),
  fc.constant(''),
  uri.map((u) => ` xmlns='${u}'`),
  fc.constant(" xmlns=''"),
  fc.constant(" xmlns:p='other'"),
  fc.constant(' xmlns:q=\'urn:xmpp:sm:3\' xmlns:r="é"'),
);

const { element } = fc.letrec<{ element: string; content: string }>((tie) => ({
  element: fc
    .tuple(
      fc.constantFrom('', '', '', 'p:', 'q:', 'stream:'),
      localName,
      declaration,
      attributes,
      space,
      space,
      fc.option(tie('content')),
    )
    .map(([prefix, local, declared, attributed, s, t, content]) => {
      const name = prefix + local;
      return content === null
        ? `<${name}${declared}${attributed}${s}/>`
        : `<${name}${declared}${attributed}${s}>${content}</${name}${t}>`;
    }),
  content: fc.oneof(
    { maxDepth: 4 },
    textPiece,
    fc.array(fc.oneof(textPiece, tie('element')), { maxLength: 4 }).map((all) => all.join('')),
  ),
}));

const stanza = fc
  .tuple(
    fc.constantFrom('message', 'presence', 'iq', 'p:x', 'other'),
    attributes,
    fc.array(element, { maxLength: 4 }),
  )
  .map(
    ([name, attributed, children]) =>
      `<${name} xmlns:p='urn:p' xmlns:q='urn:q'${attributed}>${children.join('')}</${name}>`,
  );

/** Streams that are legal XMPP. */
export const legalStream: fc.Arbitrary<string> = fc
  .tuple(fc.array(fc.tuple(space, stanza), { maxLength: 4 }), fc.boolean())
  .map(
    ([stanzas, closed]) =>
      HEADER + stanzas.map((parts) => parts.join('')).join('') + (closed ? '</stream:stream>' : ''),
  );

const NASTY = [
  '<',
  '>',
  '&',
  '/',
  "'",
  '"',
  '=',
  ' ',
  ':',
  ';',
  '!',
  '?',
  '-',
  ']',
  ']]>',
  '<!--',
  '-->',
  '<?',
  '?>',
  '<![CDATA[',
  '<!DOCTYPE a>',
  '&x;',
  '&#',
  '&#0;',
  '&#xD800;',
  '&amp',
  '</',
  '/>',
  '<a>',
  '</a>',
  '<p:a/>',
  '<z:a/>',
  " a=''",
  " a='' a=''",
  " p:a='' q:a=''",
  " xmlns:p='urn:q'",
  " xmlns:q=''",
  " xmlns:xml='u'",
  " xmlns='http://www.w3.org/2000/xmlns/'",
  '\u0000',
  '\u0001',
  '\ufffe',
  '\uffff',
  '\ufeff',
  'é',
  '😀',
  '\r',
  '\n',
  "<?xml version='1.0'?>",
  HEADER,
  '</stream:stream>',
  '</message>',
  'xmlns',
  'xmlns:',
  'x',
  'y',
  '&lt;',
  '€',
  '\t',
  '<b/>',
  '<![CDATA[]]>',
].map((text) => Buffer.from(text));
const BROKEN = [
  [0x80],
  [0xc0, 0x80],
  [0xe2, 0x82],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xff],
  [0xef, 0xbf, 0xbe],
].map((bytes) => Buffer.from(bytes));

const mutation = fc.record({
  kind: fc.constantFrom('insert', 'delete', 'replace', 'repeat' as const),
  at: fc.nat(999_999).map((millionths) => millionths / 1_000_000),
  length: fc.integer({ min: 1, max: 12 }),
  piece: fc.constantFrom(...NASTY, ...BROKEN),
});

/** Streams that were legal before something was done to them. Some still are. */
export const mutatedStream: fc.Arbitrary<Buffer> = fc
  .tuple(legalStream, fc.array(mutation, { minLength: 1, maxLength: 2 }))
  .map(([xml, mutations]) => {
    let bytes = Buffer.from(xml);
    for (const { kind, at, length, piece } of mutations) {
      // The header stays as it is nine times out of ten: what is wrong with it hides what comes behind.
      const from = at < 0.1 ? 0 : HEADER.length;
      const start = from + Math.floor((bytes.length - from) * at);
      const head = bytes.subarray(0, start);
      const tail = bytes.subarray(start);
      if (kind === 'insert') bytes = Buffer.concat([head, piece, tail]);
      else if (kind === 'delete') bytes = Buffer.concat([head, tail.subarray(length)]);
      else if (kind === 'replace') bytes = Buffer.concat([head, piece, tail.subarray(piece.length)]);
      else bytes = Buffer.concat([head, tail.subarray(0, length), tail]);
    }
    return bytes;
  });
