import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { XML_ERROR_REASONS, xmlError } from '../../../src/xml/errors.js';
import { HEADER, read, readFourWays, refusal } from './stream-reading.js';

/** A message with these bytes as its content. */
const inBody = (...bytes: number[]): Buffer =>
  Buffer.concat([Buffer.from('<message><body>'), Buffer.from(bytes), Buffer.from('</body></message>')]);
const inAttribute = (...bytes: number[]): Buffer =>
  Buffer.concat([Buffer.from("<message to='"), Buffer.from(bytes), Buffer.from("'/>")]);

const REFUSED: Record<string, [input: string | Buffer, reason: string][]> = {
  'RFC 6120 §11.1: restricted XML': [
    ['<message><!-- x --></message>', 'restricted-xml comment'],
    ['<!-- x -->', 'restricted-xml comment'],
    ['<message><?php x?></message>', 'restricted-xml processing-instruction'],
    ['<?xml-stylesheet x?>', 'restricted-xml processing-instruction'],
    ['<!DOCTYPE a>', 'restricted-xml dtd'],
    ['<message><!DOCTYPE a></message>', 'restricted-xml dtd'],
    ['<message>&nbsp;</message>', 'restricted-xml undefined-entity'],
    ["<message to='&lol;'/>", 'restricted-xml undefined-entity'],
    ['<message>&AMP;</message>', 'restricted-xml undefined-entity'],
    ['<message>&é;</message>', 'restricted-xml undefined-entity'],
  ],
  'XML 1.0 §2.2: no character': [
    [inBody(0x00), 'not-well-formed invalid-char'],
    [inBody(0x08), 'not-well-formed invalid-char'],
    [inBody(0x1f), 'not-well-formed invalid-char'],
    [inBody(0xef, 0xbf, 0xbe), 'not-well-formed invalid-char'],
    [inBody(0xef, 0xbf, 0xbf), 'not-well-formed invalid-char'],
    [inAttribute(0x00), 'not-well-formed invalid-char'],
    [inAttribute(0x0b), 'not-well-formed invalid-char'],
    [inAttribute(0xef, 0xbf, 0xbf), 'not-well-formed invalid-char'],
    ['<message><![CDATA[\u0001]]></message>', 'not-well-formed invalid-char'],
    ['<message><![CDATA[\uffff]]></message>', 'not-well-formed invalid-char'],
  ],
  'RFC 3629: no UTF-8': [
    ...[
      [0x80],
      [0xc0, 0x80],
      [0xc1, 0xbf],
      [0xe0, 0x80, 0x80],
      [0xe0, 0x9f, 0xbf],
      [0xed, 0xa0, 0x80],
      [0xed, 0xbf, 0xbf],
      [0xf0, 0x8f, 0xbf, 0xbf],
      [0xf4, 0x90, 0x80, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
      [0xff],
      [0xc3, 0x28],
      [0xe2, 0x82, 0x28],
      [0xf0, 0x9f, 0x98, 0x28],
      [0xe2, 0x82],
    ].flatMap(
      (bytes): [Buffer, string][] =>
        [
          [inBody(...bytes), 'not-well-formed invalid-utf8'],
          [inAttribute(...bytes), 'not-well-formed invalid-utf8'],
          [Buffer.concat([Buffer.from('<message><a'), Buffer.from(bytes)]), 'not-well-formed invalid-utf8'],
        ].filter(([, _], i) => i < 2 || bytes.length !== 2 || bytes[0] !== 0xe2) as [Buffer, string][],
    ),
  ],
  'XML 1.0 §4.1: character references outside Char': [
    ...['&#0;', '&#x0;', '&#1;', '&#x1F;', '&#xD800;', '&#xDFFF;', '&#xFFFE;', '&#xFFFF;', '&#x110000;'].map(
      (reference): [string, string] => [
        `<message>${reference}</message>`,
        'not-well-formed invalid-char-reference',
      ],
    ),
    ['<message>&#99999999999999999999999999999999;</message>', 'not-well-formed invalid-char-reference'],
    ['<message>&#;</message>', 'not-well-formed invalid-char-reference'],
    ['<message>&#x;</message>', 'not-well-formed invalid-char-reference'],
    ['<message>&#X41;</message>', 'not-well-formed invalid-char-reference'],
    ['<message>&#4a;</message>', 'not-well-formed invalid-char-reference'],
    ["<message to='&#0;'/>", 'not-well-formed invalid-char-reference'],
  ],
  'XML 1.0 §2.4: bare ampersand': [
    ['<message>a & b</message>', 'not-well-formed bare-ampersand'],
    ['<message>&amp </message>', 'not-well-formed bare-ampersand'],
    ['<message>&;</message>', 'not-well-formed bare-ampersand'],
    ['<message>&1;</message>', 'not-well-formed bare-ampersand'],
    ['<message>&a:b;</message>', 'not-well-formed bare-ampersand'],
    ["<message to='&'/>", 'not-well-formed bare-ampersand'],
    ["<message to='a&b=c'/>", 'not-well-formed bare-ampersand'],
  ],
  'XML 1.0 §2.4: ]]> in text': [
    ['<message>]]></message>', 'not-well-formed cdata-end-in-text'],
    ['<message>a]]]></message>', 'not-well-formed cdata-end-in-text'],
    ['<message><![CDATA[x]]>]]></message>', 'not-well-formed cdata-end-in-text'],
    ['<message>é]]></message>', 'not-well-formed cdata-end-in-text'],
  ],
  'XML 1.0 §3.1: attributes': [
    ["<message to='a<b'/>", 'not-well-formed less-than-in-attribute'],
    ["<message to='a'from='b'/>", 'not-well-formed malformed-tag'],
    ['<message to=a/>', 'not-well-formed malformed-tag'],
    ['<message to/>', 'not-well-formed malformed-tag'],
    ['<message to>', 'not-well-formed malformed-tag'],
    ['<message to></message>', 'not-well-formed malformed-tag'],
    ["<message to 'a'/>", 'not-well-formed malformed-tag'],
    ["<message to='a' to='a'/>", 'not-well-formed duplicate-attribute'],
    ["<message to='a' b='' c='' to=''/>", 'not-well-formed duplicate-attribute'],
    ["<message xmlns='jabber:client' xmlns='jabber:client'/>", 'not-well-formed duplicate-attribute'],
    ["<message xmlns:a='u' xmlns:a='v'/>", 'not-well-formed duplicate-attribute'],
    [
      `<message ${Array.from({ length: 40 }, (_, i) => `a${i}=''`).join(' ')} a0=''/>`,
      'not-well-formed duplicate-attribute',
    ],
    ["<message><a b=''><c d='' d=''/></a></message>", 'not-well-formed duplicate-attribute'],
    ["<message/ to='a'>", 'not-well-formed malformed-tag'],
    ['<message / >', 'not-well-formed malformed-tag'],
  ],
  'Namespaces in XML 1.0 §6.3: duplicate attribute by expanded name': [
    ["<message xmlns:a='u' xmlns:b='u' a:x='' b:x=''/>", 'not-well-formed duplicate-attribute'],
    ["<message xmlns:a='u&#45;' xmlns:b='u-' a:x='' b:x=''/>", 'not-well-formed duplicate-attribute'],
    [
      "<message a:x='' b:x='' xmlns:a='urn:xmpp:sm:3' xmlns:b='urn:xmpp:sm:3'/>",
      'not-well-formed duplicate-attribute',
    ],
    ["<message xmlns:a='u'><b xmlns:b='u' a:x='' b:x=''/></message>", 'not-well-formed duplicate-attribute'],
    [
      "<message xmlns:s='http://etherx.jabber.org/streams' s:x='' stream:x=''/>",
      'not-well-formed duplicate-attribute',
    ],
  ],
  'XML 1.0 §3.1: tags': [
    ['<message></presence>', 'not-well-formed mismatched-tag'],
    ['<message></messag>', 'not-well-formed mismatched-tag'],
    ['<message></messages>', 'not-well-formed mismatched-tag'],
    ['<message><a></message></a>', 'not-well-formed mismatched-tag'],
    ["<message xmlns:a='u' xmlns:b='u'><a:x></b:x></message>", 'not-well-formed mismatched-tag'],
    ['<message></ message>', 'not-well-formed mismatched-tag'],
    ["<message></message a=''>", 'not-well-formed mismatched-tag'],
    ['</message>', 'not-well-formed mismatched-tag'],
    ['</stream>', 'not-well-formed mismatched-tag'],
    ['<message></message/>', 'not-well-formed mismatched-tag'],
  ],
  'Namespaces in XML 1.0 §3, XML 1.0 §2.3: names': [
    ['< message/>', 'not-well-formed invalid-name'],
    ['<>', 'not-well-formed invalid-name'],
    ['<1a/>', 'not-well-formed invalid-name'],
    ['<-a/>', 'not-well-formed invalid-name'],
    ['<a:b:c/>', 'not-well-formed invalid-name'],
    ['<:a/>', 'not-well-formed invalid-name'],
    ['<a:/>', 'not-well-formed invalid-name'],
    ['<stream:1/>', 'not-well-formed invalid-name'],
    ['<a!/>', 'not-well-formed invalid-name'],
    ['<a\u00d7/>', 'not-well-formed invalid-name'],
    ['<\u00b7a/>', 'not-well-formed invalid-name'],
    ['<\u0300a/>', 'not-well-formed invalid-name'],
    ['<a\u037e/>', 'not-well-formed invalid-name'],
    ["<a 1='x'/>", 'not-well-formed invalid-name'],
    ["<a a:b:c='x'/>", 'not-well-formed invalid-name'],
    ["<a :b='x'/>", 'not-well-formed invalid-name'],
    ["<a b:='x'/>", 'not-well-formed invalid-name'],
    ["<a xmlns:='x'/>", 'not-well-formed invalid-name'],
    ["<a ='x'/>", 'not-well-formed invalid-name'],
    ['<message/<presence/>', 'not-well-formed malformed-tag'],
    ['<message<presence/>', 'not-well-formed invalid-name'],
  ],
  'Namespaces in XML 1.0 §5: undeclared prefix': [
    ['<a:message/>', 'bad-namespace-prefix undeclared-prefix'],
    ['<message><a:b/></message>', 'bad-namespace-prefix undeclared-prefix'],
    ["<message a:b=''/>", 'bad-namespace-prefix undeclared-prefix'],
    ["<message><x xmlns:a='u'/><a:b/></message>", 'bad-namespace-prefix undeclared-prefix'],
    ["<message><x xmlns:a='u'><y/></x><z a:b=''/></message>", 'bad-namespace-prefix undeclared-prefix'],
    ["<message xmlns:ab='u'><a:b/></message>", 'bad-namespace-prefix undeclared-prefix'],
    ['<message><xmlns:a/></message>', 'bad-namespace-prefix undeclared-prefix'],
  ],
  'Namespaces in XML 1.0 §3: reserved prefixes and names': [
    ["<message xmlns:p=''/>", 'not-well-formed empty-prefix-binding'],
    ["<message xmlns:xml='u'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns:xmlns='u'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns:p='http://www.w3.org/XML/1998/namespace'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns='http://www.w3.org/XML/1998/namespace'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns:p='http://www.w3.org/2000/xmlns/'/>", 'not-well-formed reserved-prefix'],
    ["<message xmlns='http://www.w3.org/2000/xmlns&#x2f;'/>", 'not-well-formed reserved-prefix'],
  ],
  'Namespaces in XML 1.0 §2.1: a namespace name is a URI reference, and some trim it': [
    ["<message xmlns:p=' u'/>", 'not-well-formed namespace-name'],
    ["<message xmlns:p='u&#32;'/>", 'not-well-formed namespace-name'],
    ["<message xmlns='\njabber:client'/>", 'not-well-formed namespace-name'],
    ["<message><x xmlns=' '/></message>", 'not-well-formed namespace-name'],
    ["<message xmlns:p='\u3000u'/>", 'not-well-formed namespace-name'],
  ],
  'markup that is none': [
    ['<message><!x></message>', 'not-well-formed malformed-markup'],
    ['<message><!-x></message>', 'not-well-formed malformed-markup'],
    ['<message><![CDATX[</message>', 'not-well-formed malformed-markup'],
    ['<message><![cdata[x]]></message>', 'not-well-formed malformed-markup'],
    ["<message><?xml version='1.0'?></message>", 'not-well-formed misplaced-declaration'],
    ["<?xml version='1.0'?>", 'not-well-formed misplaced-declaration'],
  ],
  'RFC 6120 §4.9.3.1: well-formed, but no stream of stanzas': [
    ['hello', 'bad-format text-between-stanzas'],
    ['<presence/>x', 'bad-format text-between-stanzas'],
    ['&#32;', 'bad-format text-between-stanzas'],
    ['<![CDATA[ ]]>', 'bad-format text-between-stanzas'],
    ['\ufeff<presence/>', 'bad-format text-between-stanzas'],
    [HEADER.slice(HEADER.indexOf('<stream')), 'bad-format nested-stream'],
    ["<stream xmlns='http://etherx.jabber.org/streams'/>", 'bad-format nested-stream'],
    ["<s:stream xmlns:s='http://etherx.jabber.org/streams'>", 'bad-format nested-stream'],
  ],
  'after the end of the stream': [
    ['</stream:stream><presence/>', 'not-well-formed element-outside-stream'],
    ['</stream:stream>x', 'not-well-formed text-outside-stream'],
  ],
};

for (const [rule, cases] of Object.entries(REFUSED)) {
  describe(rule, () => {
    test.each(cases.map(([input, reason]) => [input.toString(), reason, input] as const))(
      '%j: %s',
      (_, reason, input) => {
        expect(refusal(input)).toBe(reason);
        // What breaks framing is refused from a server too; what does not resolve is not.
        if (reason === 'bad-namespace-prefix undeclared-prefix' || reason.endsWith('namespace-name')) {
          const { error, stanzas } = readFourWays(HEADER + input, { origin: 'server' });
          expect(error).toBeUndefined();
          expect(stanzas.map((stanza) => stanza.flaw)).toEqual(['unbound-prefix']);
        } else expect(refusal(input, { origin: 'server' })).toBe(reason);
      },
    );
  });
}

test('every reason has a condition and one frozen value', () => {
  for (const reason of XML_ERROR_REASONS) {
    expect(xmlError(reason)).toBe(xmlError(reason));
    expect(Object.isFrozen(xmlError(reason))).toBe(true);
    expect(xmlError(reason).reason).toBe(reason);
  }
});

test('what came before the mistake in the same chunk is still reported', () => {
  const reading = readFourWays(`${HEADER}<presence/><message>&bad;</message><presence/>`);
  expect(reading.stanzas.map((stanza) => stanza.xml)).toEqual(['<presence/>']);
  expect(reading.error).toEqual({ condition: 'restricted-xml', reason: 'undefined-entity' });
});

test('at whatever place of a long run of text or of a value something illegal stands, it is seen', () => {
  const run = 'abcdefghijklmnopqrst';
  const illegal: [string, string][] = [
    ['\u0000', 'invalid-char'],
    ['\u001f', 'invalid-char'],
    ['<', ''],
    ['&', 'bare-ampersand'],
    ['\uffff', 'invalid-char'],
  ];
  for (let at = 0; at <= run.length; at++) {
    for (const [piece, reason] of illegal) {
      const text = run.slice(0, at) + piece + run.slice(at);
      const inText = read([Buffer.from(`${HEADER}<a>${text} </a>`)]).error?.reason;
      if (piece === '<') expect(inText).toBeDefined();
      else expect(inText).toBe(reason);
      for (const quote of ["'", '"']) {
        const inValue = read([Buffer.from(`${HEADER}<a b=${quote}${text} ${quote}/>`)]).error?.reason;
        expect(inValue).toBe(piece === '<' ? 'less-than-in-attribute' : reason);
        const ended = read([
          Buffer.from(`${HEADER}<a b=${quote}${run.slice(0, at)}${quote}${run.slice(at)} />`),
        ]);
        expect(ended.error?.reason).toBe(at === run.length ? undefined : 'malformed-tag');
      }
    }
    const brackets = `${run.slice(0, at)}]]>${run.slice(at)}`;
    expect(read([Buffer.from(`${HEADER}<a>${brackets}</a>`)]).error?.reason).toBe('cdata-end-in-text');
  }
});
