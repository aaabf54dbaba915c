import fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import { streamHeader } from '../../../../src/stream/header.js';
import { StreamCutter } from '../../../../src/transport/web/elements.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';

const TABLE = new NamespaceTable(Object.values(NS));
const HEADER = streamHeader({ from: 'example.org', id: 's1', version: '1.0', lang: 'en' });

function cut(writes: readonly (string | Buffer)[]): string[] {
  const parts: string[] = [];
  const cutter = new StreamCutter(
    {
      header: ({ from, id, version, lang }) => parts.push(`header ${from} ${id} ${version} ${lang}`),
      element: (pieces) => parts.push(Buffer.concat(pieces).toString()),
      whitespace: () => parts.push('whitespace'),
      streamEnd: () => parts.push('end'),
    },
    TABLE,
  );
  for (const write of writes) cutter.push(Buffer.from(write as string));
  return parts;
}

/** Every name in a document with its namespace, whatever prefixes are used. */
function meaning(document: string): string[] {
  const names: string[] = [];
  const parser = new SaxesParser({ xmlns: true });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', (tag) => names.push(`{${tag.uri}}${tag.local}`));
  parser.write(document).close();
  return names;
}

describe('cutting a stream into elements', () => {
  it('declares what an element inherits from the header, and nothing that it does not', () => {
    expect(
      cut([
        HEADER,
        "<message to='a'><body>hi</body></message><r xmlns='urn:xmpp:sm:3'/>",
        "<iq xmlns='jabber:client' id='1'/>",
        "<stream:features><bind xmlns='urn:b'/></stream:features>",
        "<message><forwarded xmlns='urn:f'><stream:error/></forwarded></message>",
      ]).slice(1),
    ).toEqual([
      "<message xmlns='jabber:client' to='a'><body>hi</body></message>",
      "<r xmlns='urn:xmpp:sm:3'/>",
      "<iq xmlns='jabber:client' id='1'/>",
      "<stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/></stream:features>",
      "<message xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><forwarded xmlns='urn:f'><stream:error/></forwarded></message>",
    ]);
  });

  it('tells header, white space and end apart, stream for stream', () => {
    expect(
      cut([`${HEADER}<a xmlns='urn:a'/>`, ' ', HEADER, ' ', "<b xmlns='urn:b'/></stream:stream>"]),
    ).toEqual([
      'header example.org s1 1.0 en',
      "<a xmlns='urn:a'/>",
      'whitespace',
      'header example.org s1 1.0 en',
      'whitespace',
      "<b xmlns='urn:b'/>",
      'end',
    ]);
  });

  it('throws on what no session writes', () => {
    expect(() => cut([HEADER, 'text'])).toThrow('what is no stream');
  });

  const name = fc.constantFrom('a', 'b', 'stream:c', 'x');
  const element: fc.Memo<string> = fc.memo((depth) =>
    fc
      .tuple(
        name,
        fc.constantFrom('', " xmlns='urn:x'", " xmlns='jabber:client'", " to='stream:y'"),
        depth > 1
          ? fc.array(fc.oneof(element(), fc.constantFrom('text', 'stream:', '&lt;')), { maxLength: 3 })
          : fc.constant([]),
      )
      .map(([tag, attributes, children]) => `<${tag}${attributes}>${children.join('')}</${tag}>`),
  );

  it('means the same alone as in the stream, however it is written', () => {
    fc.assert(
      fc.property(fc.array(element(3), { minLength: 1, maxLength: 5 }), fc.nat(), (elements, at) => {
        const bytes = Buffer.from(elements.join(''));
        const split = at % (bytes.length + 1);
        const parts = cut([HEADER, bytes.subarray(0, split), bytes.subarray(split)]).slice(1);
        const within = (xml: string) =>
          meaning(`<s xmlns='jabber:client' xmlns:stream='${NS.stream}'>${xml}</s>`).slice(1);
        expect(parts.map(meaning)).toEqual(elements.map(within));
      }),
    );
  });
});
