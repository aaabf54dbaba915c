import type { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fragment } from '../../../src/xml/fragment.js';
import { Frame } from '../../../src/xml/frame.js';
import { NS } from '../../../src/xml/namespaces.js';
import { Splice } from '../../../src/xml/splice.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { frameToElement } from '../../../src/xml/tree.js';
import { table, treeOf, withFrame } from './stream-reading.js';

/** All that a frame says of its stanza. */
function told(frame: Frame) {
  const children = Array.from({ length: frame.childCount }, (_, i) => [
    frame.childName(i),
    frame.childNamespace(i),
    frame.childNamespaceId(i),
    frame.childStart(i) - frame.start,
    frame.childEnd(i) - frame.start,
    frame.childIs(i, frame.childName(i), frame.childNamespace(i)),
  ]);
  const names = frame.attributeNames(() => true);
  return {
    bytes: frame.toString(),
    ...{ kind: frame.kind, portable: frame.portable, flaw: frame.flaw, root: frame.localName() },
    ...{ namespace: frame.namespace(), id: frame.namespaceId },
    attributes: names.map((name) => [name, frame.attribute(name)]),
    children,
    tree: treeOf(frameToElement(frame)),
  };
}

function read(bytes: Buffer): Frame {
  const frame = parseStanza(bytes, table);
  if (!(frame instanceof Frame)) throw new Error(`${frame.reason}: ${bytes}`);
  return frame;
}

const MARK = new Fragment(`<xmpp-2 xmlns='${NS.xmpp2}'/>`);
const SEVERAL = new Fragment(
  `<private xmlns='${NS.carbons2}'/><p:a xmlns:p='urn:unknown'><p:b/></p:a><x xmlns='urn:&amp;:&#233;'/>`,
);

describe('an edited stanza as a frame that nobody has read', () => {
  const STANZAS = [
    "<message to='a@b/c'></message>",
    "<message to='a@b/c' type='chat' id='1' xml:lang='en'><body>hi</body><x xmlns='urn:x'/></message>",
    "<message\n id = \"1/2\" to = 'a@b/c/d' xmlns='jabber:client' from='é@b/é' ><body/>t<y xmlns='urn:é'/></message >",
    "<message xmlns:p='urn:&amp;p' to='a@b/ć' xmlns:q='urn:xmpp:hints' type='x'><p:x/><q:no-copy/><p:x>a</p:x></message>",
    "<message from='a@b/c'><body>hi</body></message>",
    "<message from='b@c' to='a@b/c&amp;d'><body>hi</body></message>",
    "<presence to='a@b/c'/>",
  ];
  const step = fc.constantFrom('cut', 'mark', 'several');

  test('says what reading it says, however often it is edited', () => {
    let derived = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...STANZAS),
        fc.array(fc.array(step, { maxLength: 2 }), { maxLength: 3 }),
        (xml, rounds) => {
          withFrame(xml, (frame) => {
            const before = told(frame);
            let current = frame;
            for (const steps of rounds) {
              const splice = new Splice(current);
              for (const one of steps) {
                if (one === 'cut') splice.cutResource('to');
                else splice.appendChild(one === 'mark' ? MARK : SEVERAL);
              }
              const edited = splice.toFrame();
              if (edited !== undefined) derived += 1;
              const expected = read(splice.toBuffer());
              if (edited !== undefined) expect(told(edited)).toEqual(told(expected));
              current = edited ?? expected;
            }
            expect(told(frame)).toEqual(before);
          });
        },
      ),
    );
    expect(derived).toBeGreaterThan(0);
  });

  test('is had without reading where a resource is cut off and a fragment appended, and not where more has been done', () => {
    withFrame(STANZAS[1]!, (frame) => {
      expect(new Splice(frame).cutResource('to').appendChild(MARK).toFrame()?.to).toBe('a@b');
      expect(new Splice(frame).appendChild(MARK).toFrame()?.to).toBe('a@b/c');
      expect(new Splice(frame).appendChild(MARK).setAttribute('id', '2').toFrame()).toBeUndefined();
      expect(new Splice(frame).appendChild(MARK).appendChild('<x xmlns="urn:x"/>').toFrame()).toBeUndefined();
      expect(new Splice(frame).appendChild(MARK).removeChild(0).toFrame()).toBeUndefined();
      expect(new Splice(frame).toFrame()).toBeUndefined();
    });
    withFrame("<message to='a@b/c'/>", (frame) => {
      expect(new Splice(frame).appendChild(MARK).toFrame()).toBeUndefined();
    });
  });

  test('the next stanza that is edited does not change what the last was', () => {
    const both: Buffer[] = [];
    for (const xml of STANZAS.slice(0, 2))
      withFrame(xml, (frame) => {
        const edited = new Splice(frame).cutResource('to').appendChild(MARK).toFrame()!;
        both.push(edited.detach().bytes());
      });
    expect(both.map(String)).toEqual([
      `<message to='a@b'>${MARK.bytes}</message>`,
      `<message to='a@b' type='chat' id='1' xml:lang='en'><body>hi</body><x xmlns='urn:x'/>${MARK.bytes}</message>`,
    ]);
  });

  test('a fragment’s elements must each declare their namespaces, or they would be what is around them', () => {
    expect(() => new Fragment('<x/>').children(table)).toThrow('does not declare');
    expect(() => new Fragment("<x xmlns='urn:x'>").children(table)).toThrow('no XML');
  });
});
