import fc from 'fast-check';
import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';
import { streamHeader } from '../../../../src/stream/header.js';
import { StreamCutter, StreamCutters } from '../../../../src/transport/web/elements.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';

const TABLE = new NamespaceTable(Object.values(NS));
const HEADER = streamHeader({ from: 'example.org', id: 's1', version: '1.0', lang: 'en' });

const cutters = new StreamCutters(TABLE);

function cut(writes: readonly (string | Buffer)[]): string[] {
  const parts: string[] = [];
  const cutter = new StreamCutter(
    {
      header: ({ from, id, version, lang }) => parts.push(`header ${from} ${id} ${version} ${lang}`),
      element: (pieces) => parts.push(Buffer.concat(pieces).toString()),
      whitespace: () => parts.push('whitespace'),
      streamEnd: () => parts.push('end'),
    },
    cutters,
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

  it('several streams at a time, each written in whatever pieces: what one has begun is no other’s', () => {
    const shared = new StreamCutters(TABLE);
    const parts: string[][] = [[], [], []];
    const streams = parts.map(
      (own) =>
        new StreamCutter(
          {
            header: ({ id }) => own.push(`header ${id}`),
            element: (pieces) => own.push(Buffer.concat(pieces).toString()),
            whitespace: () => own.push('whitespace'),
            streamEnd: () => own.push('end'),
          },
          shared,
        ),
    );
    const writes = [
      HEADER,
      "<a xmlns='urn:a'/><b",
      " xmlns='urn:b'>",
      '</b>',
      '<presence/>',
      '</stream:stream>',
    ];
    for (const write of writes) for (const stream of streams) stream.push(Buffer.from(write));
    const [first] = parts;
    expect(first).toEqual([
      'header s1',
      ...["<a xmlns='urn:a'/>", "<b xmlns='urn:b'></b>", "<presence xmlns='jabber:client'/>", 'end'],
    ]);
    expect(parts).toEqual([first, first, first]);
    // Nor does one that is over leave its end to another.
    streams[0]?.push(Buffer.from(HEADER));
    expect(parts[0]?.at(-1)).toBe('header s1');
  });

  it('what all cut with is one thing, while nobody is in the middle of an element', () => {
    const shared = new StreamCutters(TABLE);
    const parts = { header() {}, element() {}, whitespace() {}, streamEnd() {} };
    const [one, other] = [new StreamCutter(parts, shared), new StreamCutter(parts, shared)];
    one.push(Buffer.from(HEADER));
    const spare = shared.acquire();
    shared.release(spare);
    other.push(Buffer.from(`${HEADER}<a/>`));
    expect(shared.acquire()).toBe(spare);
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
