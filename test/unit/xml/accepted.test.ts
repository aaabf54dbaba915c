import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { onlyStanza } from './stream-reading.js';

const CLIENT = 'jabber:client';

describe('legal XML is read as it is meant', () => {
  test.each([
    ['text', '<a>x</a>', ['x']],
    ['multi-byte characters of every length', '<a>é€😀</a>', ['é€😀']],
    [
      'C1 controls, DEL and non-characters that XML allows',
      '<a>\u0080\u007f\ufdd0\u{1ffff}</a>',
      ['\u0080\u007f\ufdd0\u{1ffff}'],
    ],
    ['the five entities', '<a>&amp;&lt;&gt;&quot;&apos;</a>', ['&<>"\'']],
    ['character references', '<a>&#65;&#x41;&#x1F600;&#0000065;&#9;&#xD;</a>', ['AA😀A\t\r']],
    ['CDATA as text', '<a>x<![CDATA[<b>&amp;]]]]>y</a>', ['x<b>&amp;]]y']],
    ['> and ] in text', '<a>a > b ]] ]> ></a>', ['a > b ]] ]> >']],
    ['an empty CDATA section', '<a><![CDATA[]]></a>', []],
    ['line ends', '<a>1\r\n2\r3</a>', ['1\n2\n3']],
  ])('%s', (_, xml, content) => {
    expect(onlyStanza(xml).tree).toEqual([CLIENT, 'a', [], content]);
  });

  test.each([
    ["<a to='x'/>", 'x'],
    ['<a to="x"/>', 'x'],
    ['<a to="it\'s"/>', "it's"],
    ['<a to=\'say "x"\'/>', 'say "x"'],
    ["<a to='&lt;&apos;&#x20AC;&amp;amp;'/>", "<'€&amp;"],
    ["<a to='é😀'/>", 'é😀'],
    ["<a to='a\tb\nc\r\nd\re'/>", 'a b c d e'],
    ["<a to='a&#9;b&#xA;c&#13;'/>", 'a\tb\nc\r'],
    ["<a to=''/>", ''],
    ["<a to='a>b]]>'/>", 'a>b]]>'],
    ["<a\n\tto\r\n=\n'x'\n/>", 'x'],
    ["<a id='1'  to  =  'x'   ></a  >", 'x'],
  ])('attribute value of %j', (xml, value) => {
    const stanza = onlyStanza(xml);
    expect(stanza.attributes[0]).toBe(value);
    expect(stanza.tree?.[2].find(([, name]) => name === 'to')?.[2]).toBe(value);
  });

  test.each([
    '<élan/>',
    '<Ωmega/>',
    '<日本/>',
    '<a\u00b7b/>',
    '<a\u0300/>',
    '<\u{10000}/>',
    '<_.-0/>',
    "<a Ünï='1'/>",
    "<é:a xmlns:é='u'/>",
  ])('name of XML 1.0, fifth edition: %s', (xml) => {
    expect(onlyStanza(xml).xml).toBe(xml);
  });
});

describe('namespaces', () => {
  test('default, redeclared, undeclared', () => {
    const { tree } = onlyStanza("<a><b xmlns='u'><c/><d xmlns=''><e/></d></b><f/></a>");
    expect(tree).toEqual([
      CLIENT,
      'a',
      [],
      [
        [
          'u',
          'b',
          [],
          [
            ['u', 'c', [], []],
            ['', 'd', [], [['', 'e', [], []]]],
          ],
        ],
        [CLIENT, 'f', [], []],
      ],
    ]);
  });

  test('prefixes shadow each other and end with their element', () => {
    const stanza = onlyStanza(
      "<p:a xmlns:p='1'><p:b xmlns:p='2'/><p:c/><q:d xmlns:q='3' p:x='' q:x=''/></p:a>",
    );
    expect(stanza.name).toBe('{1}a');
    expect(stanza.children.map((child) => child.name)).toEqual(['{2}b', '{1}c', '{3}d']);
    expect(stanza.tree?.[3][2]).toEqual([
      '3',
      'd',
      [
        ['1', 'x', ''],
        ['3', 'x', ''],
      ],
      [],
    ]);
  });

  test('a prefix may be used in front of its declaration in the same tag', () => {
    expect(onlyStanza("<p:a p:b='' xmlns:p='u'/>").name).toBe('{u}a');
  });

  test('the URI is the value, not the bytes', () => {
    const stanza = onlyStanza("<a><b xmlns='urn&#58;xmpp&#58;delay'/></a>");
    expect(stanza.children[0]).toMatchObject({ name: '{urn:xmpp:delay}b', known: true });
    expect(onlyStanza("<message xmlns='jabber:&#99;lient'/>").kind).toBe(1);
    expect(onlyStanza("<a><b xmlns='urn:&lt;'/></a>").children[0]).toMatchObject({
      name: '{urn:<}b',
      known: false,
    });
  });

  test('xml is bound, and may be declared as what it is', () => {
    expect(onlyStanza("<a xml:lang='de'/>").attributes[4]).toBe('de');
    expect(
      onlyStanza("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/>").attributes[4],
    ).toBe('de');
  });

  test('same local name in different namespaces is no duplicate', () => {
    const xml = "<a xmlns:p='1' xmlns:q='2' x='0' p:x='1' q:x='2'/>";
    expect(onlyStanza(xml).tree?.[2]).toEqual([
      ['', 'x', '0'],
      ['1', 'x', '1'],
      ['2', 'x', '2'],
    ]);
  });

  test('same name with and without prefix, in many attributes', () => {
    const many = Array.from({ length: 40 }, (_, i) => `p:a${i}='' a${i}=''`).join(' ');
    expect(onlyStanza(`<a xmlns:p='1' ${many}/>`).tree?.[2]).toHaveLength(80);
  });
});

test('a stanza has a kind only in jabber:client', () => {
  const kind = (xml: string): number => onlyStanza(xml).kind;
  expect(['<message/>', '<presence/>', '<iq/>'].map(kind)).toEqual([1, 2, 3]);
  expect(kind("<c:iq xmlns:c='jabber:client'/>")).toBe(3);
  expect(kind("<message xmlns='jabber:server'/>")).toBe(0);
  expect(kind("<message xmlns=''/>")).toBe(0);
  expect(['<MESSAGE/>', '<messagx/>', '<presencx/>', '<iqq/>', '<stream:iq/>'].map(kind)).toEqual([
    0, 0, 0, 0, 0,
  ]);
});

test('bytes of a flawless stanza are untouched', () => {
  const xml = "<message  to = 'é'\n><body>&#xe9;<![CDATA[x]]></body ></message\t>";
  expect(Buffer.from(onlyStanza(xml).xml)).toEqual(Buffer.from(xml));
});
