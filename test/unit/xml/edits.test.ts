import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fragment } from '../../../src/xml/fragment.js';
import { NS } from '../../../src/xml/namespaces.js';
import { makePortable } from '../../../src/xml/portable.js';
import { repair } from '../../../src/xml/repair.js';
import { escapeAttribute, escapeText, serializeElement } from '../../../src/xml/serialize.js';
import { Splice } from '../../../src/xml/splice.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { frameToElement, parseElement } from '../../../src/xml/tree.js';
import { HEADER, sorted, type Tree, table, treeOf, withFrame } from './stream-reading.js';

const J2_HEADER = HEADER.replace(
  "xmlns='jabber:client'",
  "xmlns='jabber:client' xmlns:ack='urn:ack' xmlns:q='urn:q'",
);

/** The tree of bytes that must pass the rules for clients. */
function strictTree(bytes: Buffer): Tree {
  const frame = parseStanza(bytes, table);
  if ('condition' in frame) throw new Error(`${frame.reason}: ${bytes}`);
  expect(frame.portable).toBe(true);
  return treeOf(frameToElement(frame));
}

const splice = (xml: string, edit: (splice: Splice) => unknown): string =>
  withFrame(xml, (frame) => {
    const edited = new Splice(frame);
    edit(edited);
    return edited.toBuffer().toString();
  });

describe('Splice, for an address', () => {
  test.each<[string, (s: Splice) => unknown, string]>([
    ["<message to='a@b/c/d' id='1'/>", (s) => s.cutResource('to'), "<message to='a@b' id='1'/>"],
    [
      '<message to="a@b/c"><x/></message>',
      (s) => s.cutResource('to').appendChild('<y/>'),
      '<message to="a@b"><x/><y/></message>',
    ],
    ["<message to='a@b'/>", (s) => s.cutResource('to'), "<message to='a@b'/>"],
    ['<message/>', (s) => s.cutResource('to'), '<message/>'],
    ["<message to='a&amp;@b/c'/>", (s) => s.cutResource('to'), "<message to='a&amp;@b'/>"],
    ["<message to='a@b&#47;c/d'/>", (s) => s.cutResource('to'), "<message to='a@b'/>"],
    ["<message to='é@b/é'/>", (s) => s.cutResource('to'), "<message to='é@b'/>"],
    [
      "<message to='a@b/c' from='d@e/f'/>",
      (s) => s.cutResource('to').setAttribute('id', '1'),
      "<message id='1' to='a@b' from='d@e/f'/>",
    ],
    [
      "<message to='a@b/c' id='1'/>",
      (s) => s.setAttribute('id', '2').cutResource('to'),
      "<message to='a@b' id='2'/>",
    ],
    [
      "<message to='a@b/c'/>",
      (s) => s.cutResource('to').setAttribute('to', 'x@y/z'),
      "<message to='x@y/z'/>",
    ],
    ["<message to='a@b/c'/>", (s) => s.setAttribute('to', 'x@y/z').cutResource('to'), "<message to='x@y'/>"],
    ["<message to='a@b/c' id='1'/>", (s) => s.cutResource('to').removeAttribute('id'), "<message to='a@b'/>"],
    ["<message to='a@b/c' id='1'/>", (s) => s.cutResource('to').removeAttribute('to'), "<message id='1'/>"],
  ])('%s', (xml, edit, expected) => {
    expect(splice(xml, edit)).toBe(expected);
  });

  test('another stanza can take its place', () => {
    expect(
      splice("<message to='a'/>", (s) => s.setAttribute('to', 'b').replaceAll(Buffer.from('<message/>'))),
    ).toBe('<message/>');
  });

  test('whether a child may be there is known without reading the result', () => {
    withFrame(`<message><x xmlns='${NS.hints}'/></message>`, (frame) => {
      const may = (edited: Splice) =>
        [NS.hints, NS.carbons2, NS.muc, NS.delay].map((uri) => edited.mayHaveChild(table.id(uri)));
      const edited = new Splice(frame).appendChild(new Fragment(`<y xmlns='${NS.carbons2}'/>`));
      expect(may(edited)).toEqual([true, true, false, false]);
      expect(may(edited.appendChild(`<y xmlns='${NS.muc}'/>`))).toEqual([true, true, true, false]);
      edited.replaceAll(Buffer.from(`<message><z xmlns='${NS.delay}'/></message>`));
      expect(may(edited)).toEqual([false, false, false, true]);
    });
  });
});

describe('Splice', () => {
  test('an untouched stanza is its own bytes', () => {
    withFrame("<message to='a'/>", (frame) => {
      const untouched = new Splice(frame);
      expect(untouched.touched).toBe(false);
      expect(untouched.toBuffer().buffer).toBe(frame.buffer.buffer);
      expect(untouched.removeAttribute('from').touched).toBe(false);
    });
  });

  test.each<[string, (s: Splice) => unknown, string]>([
    [
      "<message to='a' id='1'/>",
      (s) => s.setAttribute('to', `<&'">`),
      "<message to='&lt;&amp;&apos;&quot;&gt;' id='1'/>",
    ],
    ['<message to = "a"/>', (s) => s.setAttribute('to', 'b'), '<message to = "b"/>'],
    ['<message/>', (s) => s.setAttribute('to', 'é'), "<message to='é'/>"],
    [
      "<message><a to='x'/></message>",
      (s) => s.setAttribute('to', 'y'),
      "<message to='y'><a to='x'/></message>",
    ],
    ["<message\n to='a'  id='1' />", (s) => s.removeAttribute('to'), "<message  id='1' />"],
    ["<message to='a'/>", (s) => s.setAttribute('to', 'b').removeAttribute('to'), '<message/>'],
    [
      "<message to='a'/>",
      (s) => s.removeAttribute('to').setAttribute('to', 'b').setAttribute('id', '1'),
      "<message id='1' to='b'/>",
    ],
    ['<message/>', (s) => s.setAttribute('to', 'b').removeAttribute('to'), '<message/>'],
    [
      "<message to='a'/>",
      (s) => s.removeAttribute('to').setAttribute('id', '1'),
      "<message id='1' to='a'/>".replace(" to='a'", ''),
    ],
    [
      '<message/>',
      (s) => s.appendChild('<a/>').appendChild(Buffer.from('<b/>')),
      '<message><a/><b/></message>',
    ],
    ['<message />', (s) => s.appendChild('<a/>'), '<message ><a/></message>'],
    ['<message></message >', (s) => s.appendChild('<a/>'), '<message><a/></message >'],
    ['<message><x/>t</message>', (s) => s.appendChild('<a/>'), '<message><x/>t<a/></message>'],
    ["<message id='/'></message>", (s) => s.appendChild('<a/>'), "<message id='/'><a/></message>"],
    [
      "<c:iq xmlns:c='jabber:client'/>",
      (s) => s.appendChild('<a/>'),
      "<c:iq xmlns:c='jabber:client'><a/></c:iq>",
    ],
    [
      '<message><a/>t<b>x</b><c/></message>',
      (s) => s.removeChild(1).removeChild(0).removeChild(1),
      '<message>t<c/></message>',
    ],
    [
      '<message><a/></message>',
      (s) => s.removeChild(0).appendChild('<b/>').setAttribute('id', '1'),
      "<message id='1'><b/></message>",
    ],
    ["<message xml:lang='en'/>", (s) => s.setAttribute('xml:lang', 'de'), "<message xml:lang='de'/>"],
  ])('%s', (before, edit, after) => {
    expect(splice(before, edit)).toBe(after);
  });

  test('removing a child that is not there is a mistake of the caller', () => {
    expect(() => splice('<message/>', (s) => s.removeChild(0))).toThrow(RangeError);
  });

  test('edits on bytes equal edits on the tree', () => {
    const name = fc.constantFrom('to', 'from', 'id', 'type', 'xml:lang');
    const value = fc.string({ unit: fc.constantFrom('a', 'é', '<', '&', "'", '"', '\n', '\t', ' ', '😀') });
    const edit = fc.oneof(
      fc.record({ do: fc.constant('set' as const), name, value }),
      fc.record({ do: fc.constant('unset' as const), name }),
      fc.record({ do: fc.constant('append' as const), name: fc.constantFrom('x', 'y') }),
      fc.record({ do: fc.constant('remove' as const), i: fc.nat(3) }),
    );
    const stanza = fc.constantFrom(
      '<message/>',
      "<message to='a' from='b'/>",
      "<message id=\"1\"\n to='x&amp;y' ><body>hi</body>text<x xmlns='u'/></message>",
      "<p:iq xmlns:p='urn:p' type='get'><p:a/><b/><c/><d/></p:iq>",
    );
    fc.assert(
      fc.property(stanza, fc.array(edit, { maxLength: 8 }), (xml, edits) => {
        withFrame(xml, (frame) => {
          const bytes = new Splice(frame);
          const tree = treeOf(frameToElement(frame));
          const attributes = new Map(
            tree[2].map((attribute) => [`${attribute[0]} ${attribute[1]}`, attribute]),
          );
          const children = tree[3].filter((child) => typeof child !== 'string');
          const gone = new Set<Tree | string>();
          const added: Tree[] = [];
          for (const e of edits) {
            const key =
              'name' in e && e.name === 'xml:lang'
                ? ['http://www.w3.org/XML/1998/namespace', 'lang']
                : ['', 'name' in e ? e.name : ''];
            if (e.do === 'set') {
              bytes.setAttribute(e.name, e.value);
              attributes.set(key.join(' '), [key[0]!, key[1]!, e.value]);
            } else if (e.do === 'unset') {
              bytes.removeAttribute(e.name);
              attributes.delete(key.join(' '));
            } else if (e.do === 'append') {
              bytes.appendChild(`<${e.name} xmlns='urn:added'/>`);
              added.push(['urn:added', e.name, [], []]);
            } else if (e.i < frame.childCount) {
              bytes.removeChild(e.i);
              gone.add(children[e.i]!);
            }
          }
          const expected: Tree = [
            tree[0],
            tree[1],
            sorted([...attributes.values()]),
            [...tree[3].filter((child) => !gone.has(child)), ...added],
          ];
          expect(strictTree(bytes.toBuffer())).toEqual(expected);
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe('makePortable', () => {
  const portable = (xml: string, header = J2_HEADER): string | undefined =>
    withFrame(
      xml,
      (frame) => {
        const bytes = makePortable(frame);
        if (bytes !== undefined) expect(strictTree(bytes)).toEqual(treeOf(frameToElement(frame)));
        return bytes?.toString();
      },
      'server',
      header,
    );

  test('what means the same everywhere keeps its bytes', () => {
    for (const xml of ['<message/>', '<stream:features/>', "<ack:a xmlns:ack='x'/>", "<x xmlns=''/>"]) {
      expect(portable(xml)).toBe(xml);
    }
  });

  test('jabberd2 relies on the prefix declared on its header', () => {
    expect(portable("<ack:a b='1'/>")).toBe("<ack:a xmlns:ack='urn:ack' b='1'/>");
    expect(portable("<message><x q:y='1'/></message>")).toBe(
      "<message xmlns:q='urn:q'><x q:y='1'/></message>",
    );
  });

  test('a prefix that the root declares anew is not the inherited one', () => {
    expect(portable("<message xmlns:q='other'><q:a/><ack:b/></message>")).toBe(
      "<message xmlns:ack='urn:ack' xmlns:q='other'><q:a/><ack:b/></message>",
    );
  });

  test('jabberd2 relays stanzas whose root has a prefix: written without', () => {
    expect(
      portable("<c:message xmlns:c='jabber:client' to='a&#10;b'><c:body>é &lt;</c:body></c:message>"),
    ).toBe("<message xmlns:c='jabber:client' to='a&#10;b'><body>é &lt;</body></message>");
    expect(portable("<c:iq xmlns:c='jabber:client' xmlns='u'><a/><c:b c:d=''><e/></c:b><q:f/></c:iq>")).toBe(
      "<iq xmlns:c='jabber:client' xmlns:q='urn:q'><a xmlns='u'/><b c:d=''><e xmlns='u'/></b><q:f/></iq>",
    );
  });

  test('another default namespace on the header, or none', () => {
    const prefixFree = "<stream xmlns='http://etherx.jabber.org/streams'>";
    expect(portable('<features/>', prefixFree)).toBe("<features xmlns='http://etherx.jabber.org/streams'/>");
    const none = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>";
    expect(portable('<a><b/></a>', none)).toBe("<a xmlns=''><b/></a>");
  });

  test('more declarations on the header than are told apart', () => {
    const many = Array.from({ length: 40 }, (_, i) => `xmlns:n${i}='urn:${i}'`).join(' ');
    const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' ${many}>`;
    expect(portable('<message><n35:x/></message>', header)).toContain("xmlns:n35='urn:35'");
    expect(portable("<message xmlns:n36='own'><n35:x/><n36:y/></message>", header)).toContain(
      "xmlns:n36='own'",
    );
  });

  test('a flawed frame has no portable bytes', () => {
    expect(portable('<message><r:x/></message>')).toBeUndefined();
  });
});

describe('repair', () => {
  const repaired = (xml: string): string | undefined =>
    withFrame(
      xml,
      (frame) => {
        const bytes = repair(frame);
        if (bytes !== undefined) strictTree(bytes);
        return bytes?.toString();
      },
      'server',
      J2_HEADER,
    );

  test.each([
    [
      'ejabberd relays a child whose prefix was never declared',
      '<message><x:foo/><body>b</body></message>',
      '<message><body>b</body></message>',
    ],
    [
      'somewhere inside a child',
      '<presence><a><b><x:foo/></b></a><show/></presence>',
      '<presence><show/></presence>',
    ],
    ['an attribute of a child', "<message><a x:b=''/><c/></message>", '<message><c/></message>'],
    ['an attribute of the root', "<message x:a='' id='1'><b/></message>", "<message id='1'><b/></message>"],
    ['an attribute of an iq', "<iq x:a='' id='1'><b/></iq>", "<iq id='1'><b/></iq>"],
    [
      'what is left relies on the header',
      '<message><x:a/><q:b/></message>',
      "<message xmlns:q='urn:q'><q:b/></message>",
    ],
    ['all children', '<message><x:a/>t<x:b/></message>', '<message>t</message>'],
    ['no flaw', '<message/>', '<message/>'],
    ['the payload of an iq', '<iq><x:a/></iq>', undefined],
    ['inside the payload of an iq', '<iq><a><x:b/></a></iq>', undefined],
    ['the root', '<x:message/>', undefined],
    ['no stanza', "<enabled xmlns='urn:xmpp:sm:3'><x:a/></enabled>", undefined],
    ['two attributes that may be one', "<message x:a='' y:a=''/>", '<message/>'],
    [
      'a child that is too deep',
      `<message>${'<a>'.repeat(150)}${'</a>'.repeat(150)}<body/></message>`,
      '<message><body/></message>',
    ],
    ['too many children', `<message>${'<a/>'.repeat(1200)}</message>`, undefined],
    [
      'too many attributes of a child',
      `<message><b/><a ${Array.from({ length: 120 }, (_, i) => `a${i}=''`).join(' ')}/></message>`,
      '<message><b/></message>',
    ],
    [
      'too many attributes of the root',
      `<message ${Array.from({ length: 120 }, (_, i) => `a${i}=''`).join(' ')}/>`,
      undefined,
    ],
  ])('%s', (_, before, after) => {
    expect(repaired(before)).toBe(after);
  });

  test('whatever is repaired passes the strict front door', () => {
    const part = fc.constantFrom(
      '<x:a/>',
      '<b/>',
      "<c x:d=''/>",
      '<q:e><x:f/></q:e>',
      't&amp;',
      "<g xmlns:x='u'><x:h/></g>",
      "<i xmlns=''/>",
      "<c:j xmlns:c='jabber:client'/>",
      '<a>'.repeat(101) + '</a>'.repeat(101),
      '<![CDATA[<]]>',
      "<k x:l='' y:l=''/>",
    );
    const root = fc.constantFrom(
      ['<message', '</message>'],
      ['<presence', '</presence>'],
      ['<iq', '</iq>'],
      ["<c:message xmlns:c='jabber:client'", '</c:message>'],
      ['<ack:r', '</ack:r>'],
      ["<message xmlns='u'", '</message>'],
    );
    const attribute = fc.constantFrom(
      '',
      " x:a='1'",
      " q:b='2' id='3'",
      " xmlns:x='urn:x'",
      " x:a='1' y:a='2'",
    );
    let kept = 0;
    fc.assert(
      fc.property(root, attribute, fc.array(part, { maxLength: 5 }), ([open, close], attributes, parts) => {
        if (repaired(`${open}${attributes}>${parts.join('')}${close}`) !== undefined) kept++;
      }),
      { numRuns: 500 },
    );
    expect(kept).toBeGreaterThan(100);
  });
});

describe('escaping', () => {
  test('what XML cannot carry becomes U+FFFD, white space survives', () => {
    expect(escapeAttribute('a\u0000\ud800b\ufffe<&>\'"\t\n\r😀')).toBe(
      'a\ufffd\ufffdb\ufffd&lt;&amp;&gt;&apos;&quot;&#9;&#10;&#13;😀',
    );
    expect(escapeText('\udc00]]>\r\n\u001f')).toBe('\ufffd]]&gt;&#13;\n\ufffd');
  });

  test('every string that XML can carry comes back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (value) => {
        const element = parseElement(
          Buffer.from(`<a b='${escapeAttribute(value)}'>${escapeText(value)}</a>`),
        );
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is about
        const expected = value.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
        expect(element.attrs.b).toBe(expected);
        expect(element.getText()).toBe(expected);
        expect(treeOf(parseElement(Buffer.from(serializeElement(element))))).toEqual(treeOf(element));
      }),
    );
  });
});

describe('the tree', () => {
  test("xmlns='' is a declaration", () => {
    withFrame("<message><body xmlns=''/></message>", (frame) => {
      const root = frameToElement(frame);
      expect(root.getChild('body', 'jabber:client')).toBeUndefined();
      expect(root.getChildElements()[0]?.getNS()).toBe('');
    });
  });

  test('attributes named like members of an object are attributes', () => {
    withFrame("<message __proto__='1' hasOwnProperty='2' constructor='3' xml:lang='4'/>", (frame) => {
      const root = frameToElement(frame);
      expect([Object.entries(root.attrs)[0]?.[1], root.attrs.hasOwnProperty, root.attrs.constructor]).toEqual(
        ['1', '2', '3'],
      );
      expect(root.getXmlns()['jabber:client']).toBe('');
    });
  });

  test('stands on its own', () => {
    withFrame(
      '<q:a><ack:b/></q:a>',
      (frame) => {
        expect(treeOf(parseElement(Buffer.from(serializeElement(frameToElement(frame)))))).toEqual([
          'urn:q',
          'a',
          [],
          [['urn:ack', 'b', [], []]],
        ]);
      },
      'server',
      J2_HEADER,
    );
  });
});
