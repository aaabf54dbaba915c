import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBody, writeBody } from '../../../../src/transport/web/bosh/body.js';
import { AFTER_AUTH } from '../../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { Tokenizer } from '../../../../src/xml/tokenizer.js';

const TABLE = new NamespaceTable(Object.values(NS));
const BIND = "xmlns='http://jabber.org/protocol/httpbind'";
const read = (text: string | Buffer) => readBody(Buffer.from(text as string), TABLE, AFTER_AUTH);

/** How many elements a strict reader finds in what is to go into a stream; undefined when it finds something wrong. */
function elementsIn(payload: Buffer): number | undefined {
  let count = 0;
  let closed = false;
  const tokenizer = new Tokenizer(
    {
      onHeader: () => {},
      onStanza: (frame) => {
        count += frame.portable ? 1 : 1_000;
      },
      onClose: () => {
        closed = true;
      },
    },
    { limits: AFTER_AUTH, origin: 'client', namespaces: TABLE },
  );
  const header = `<stream:stream xmlns='jabber:client' xmlns:stream='${NS.stream}' to='a' version='1.0'>`;
  const error = tokenizer.push(Buffer.concat([Buffer.from(header), payload]));
  return error !== undefined || closed || tokenizer.pendingBytes > 0 ? undefined : count;
}

describe('a request', () => {
  it('is read as XEP-0124 §7 and XEP-0206 §5 write it', () => {
    const request = read(
      `<?xml version='1.0' encoding='utf-8'?>\n<body content='text/xml; charset=utf-8' from='user@example.com' hold='1' rid='1573741820'
        to='example.com' route='xmpp:example.com:9999' ver='1.6' wait='60' ack='1' xml:lang='en' x:version='1.0' newkey='aBc'
        xmlns='http://jabber.org/protocol/httpbind' xmlns:x='urn:xmpp:xbosh'/>\r\n`,
    );
    expect(request).toMatchObject({
      ...{ rid: 1_573_741_820, sid: undefined, wait: 60, hold: 1, version: '1.6', ack: 1, newKey: 'aBc' },
      stream: { to: 'example.com', from: 'user@example.com', lang: 'en', version: '1.0' },
      ...{ restart: false, terminate: false, content: 'text/xml; charset=utf-8' },
    });
    expect(
      read(`<body ${BIND} xmlns:xmpp='urn:xmpp:xbosh' rid='1' sid='s' xmpp:restart='true'/>`)?.restart,
    ).toBe(true);
    // The prefix alone means nothing.
    expect(read(`<body ${BIND} xmlns:xmpp='urn:other' rid='1' sid='s' xmpp:restart='true'/>`)?.restart).toBe(
      false,
    );
  });

  it('its elements are in the namespace that they are in, be it that of the wrapper’s parent only', () => {
    const sasl = 'urn:ietf:params:xml:ns:xmpp-sasl';
    const payload = (text: string) => read(text)?.payload.toString();
    expect(
      payload(
        `<b:body xmlns:b='http://jabber.org/protocol/httpbind' xmlns='${sasl}' rid='1'><abort/></b:body>`,
      ),
    ).toBe(`<abort xmlns='${sasl}'/>`);
    // COMPAT: what would be in the wrapper's is a stanza.
    for (const body of [
      `<body ${BIND} rid='1'><iq/></body>`,
      `<b:body xmlns:b='http://jabber.org/protocol/httpbind' rid='1'><iq/></b:body>`,
    ])
      expect(payload(body)).toBe('<iq/>');
  });

  it('XML 1.0 §4.3.3: a byte order mark is no part of it', () => {
    expect(read(`\uFEFF<body ${BIND} rid='1'/>`)?.rid).toBe(1);
    expect(read(`\uFEFF\uFEFF<body ${BIND} rid='1'/>`)).toBeUndefined();
    expect(read(`<body ${BIND} rid='1'/>\uFEFF`)).toBeUndefined();
  });

  it('with any prefix, as any other element', () => {
    expect(read("<b:body xmlns:b='http://jabber.org/protocol/httpbind' rid='1'/>")?.rid).toBe(1);
  });

  const piece = fc.constantFrom(
    ...[
      '<message>',
      '</message>',
      '<a/>',
      "<a xmlns='urn:a'>",
      '</a>',
      '<p:b/>',
      "<c xmlns:p='urn:p'>",
      '</c>',
    ],
    ...[
      'text',
      ' ',
      '&amp;',
      '&#0;',
      '<!-- -->',
      '<![CDATA[x]]>',
      '</body>',
      `<body ${BIND}>`,
      '<?xml?>',
      '</stream:stream>',
    ],
    ...['<stream:features/>', "<stream:stream xmlns='x'>", '<iq', ' b="1"', '/>', '>', '\u{1F984}', '\uFFFE'],
  );

  it('whatever is in it: what goes into the stream is whole elements that mean the same there, or nothing at all', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.constantFrom(
          '',
          " xmlns:p='urn:p'",
          " xmlns:stream='urn:not-streams'",
          " xmlns:xmpp='urn:xmpp:xbosh'",
        ),
        (pieces, declared) => {
          const request = read(`<body ${BIND} rid='1' sid='s'${declared}>${pieces.join('')}</body>`);
          if (request !== undefined) expect(elementsIn(request.payload)).toBeLessThan(100);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('bytes that are nothing are nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(read(Buffer.from(bytes))).toBeUndefined();
      }),
    );
  });
});

describe('an answer', () => {
  it('has its attributes escaped, and those left out that are not there', () => {
    const body = writeBody([
      ['sid', "a'<&>b"],
      ['ack', undefined],
      ['wait', 60],
    ]);
    expect(body.toString()).toBe(`<body ${BIND} sid='a&apos;&lt;&amp;&gt;b' wait='60'/>`);
  });
});
