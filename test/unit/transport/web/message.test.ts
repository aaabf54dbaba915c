import { describe, expect, it } from 'vitest';
import { MessageReader } from '../../../../src/transport/web/message.js';
import { AFTER_AUTH } from '../../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';

const reader = new MessageReader(new NamespaceTable(Object.values(NS)), AFTER_AUTH);
const read = (text: string | Buffer) => reader.read(Buffer.from(text as string));
const FRAMING = 'urn:ietf:params:xml:ns:xmpp-framing';

describe('§3.3.3: each message is one element', () => {
  it('a stanza, a nonza, an element with text that looks like markup', () => {
    for (const xml of [
      "<message xmlns='jabber:client' to='a@b'><body>hi</body></message>",
      "<r xmlns='urn:xmpp:sm:3'/>",
      "<iq xmlns='jabber:client' type='get' id='1'><q xmlns='urn:q'><![CDATA[</iq><iq>]]></q></iq>",
      // COMPAT: what declares no namespace is taken for a stanza, as by the servers.
      '<presence/>',
    ])
      expect(read(xml)).toEqual({ kind: 'element', bytes: Buffer.from(xml) });
  });

  it('COMPAT: an XML declaration in front is no part of it', () => {
    expect(read("<?xml version='1.0' encoding='UTF-8'?><r xmlns='urn:xmpp:sm:3'/>")).toEqual({
      kind: 'element',
      bytes: Buffer.from("<r xmlns='urn:xmpp:sm:3'/>"),
    });
    expect(read("<?xml version='1.0'?>\r\n<presence/>")).toEqual({
      kind: 'element',
      bytes: Buffer.from('<presence/>'),
    });
    expect(read("<?xml version='1.1'?><presence/>").kind).toBe('misframed');
  });

  it('white space may end a document, and is nothing on the stream', () => {
    for (const text of ['<presence/>\n', '<presence/> \r\n\t'])
      expect(read(text)).toEqual({ kind: 'element', bytes: Buffer.from('<presence/>') });
    expect(read(`<close xmlns='${FRAMING}'/>\n`)).toEqual({ kind: 'close' });
  });

  it.each([
    ['nothing', '', 'bad-format'],
    ['white space', ' ', 'bad-format'],
    ['white space in front', ' <presence/>', 'bad-format'],
    ['white space between two', '<presence/>\n<presence/>', 'bad-format'],
    ['text behind', '<presence/>\nx', 'bad-format'],
    ['text', 'hello', 'bad-format'],
    ['two elements', '<presence/><presence/>', 'bad-format'],
    ['an element and the half of another', '<presence/><presence', 'bad-format'],
    ['half an element', "<message xmlns='jabber:client'><body>", 'not-well-formed'],
    ['half a tag', '<message', 'not-well-formed'],
    ['the other half', '</message>', 'not-well-formed'],
    ['an element and an end tag', '<presence/></stream:stream>', 'bad-format'],
    ['the end of a stream', '</stream:stream>', 'bad-format'],
    [
      'a stream header',
      "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>",
      'bad-format',
    ],
    [
      'a stream without prefix',
      "<stream xmlns='http://etherx.jabber.org/streams' to='a' version='1.0'/>",
      'bad-format',
    ],
    ['a comment', '<!-- x --><presence/>', 'restricted-xml'],
    ['a document type', '<!DOCTYPE x><presence/>', 'restricted-xml'],
    ['an undeclared prefix', '<a:presence/>', 'bad-namespace-prefix'],
    ['a byte order mark', '\uFEFF<presence/>', 'bad-format'],
  ])('not %s', (_what, text, condition) => {
    expect(read(text)).toMatchObject({ kind: 'misframed', condition });
    // And the next one is read as if nothing had been.
    expect(read('<presence/>').kind).toBe('element');
  });

  it('not what is no UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('<a>'), Buffer.from([0xff]), Buffer.from('</a>')]);
    // RFC 6455 §7.4.1.
    expect(read(bytes)).toMatchObject({ kind: 'misframed', condition: 'not-well-formed', code: 1007 });
    expect(read('<a')).toMatchObject({ kind: 'misframed', code: 1008 });
  });

  it('not what is larger or deeper than any client may send', () => {
    expect(read(`<a>${'x'.repeat(300_000)}</a>`)).toMatchObject({ condition: 'policy-violation' });
    expect(read('<a>'.repeat(200))).toMatchObject({ condition: 'policy-violation' });
  });
});

describe('§3.4: streams begin with <open/> and end with <close/>', () => {
  it('reads the attributes of a header', () => {
    expect(
      read(`<open xmlns='${FRAMING}' to='example.org' from='a@example.org' version='1.0' xml:lang='de'/>`),
    ).toEqual({
      kind: 'open',
      attributes: { to: 'example.org', from: 'a@example.org', version: '1.0', lang: 'de' },
    });
    expect(read(`<open xmlns="${FRAMING}" to="a&amp;b"></open>`)).toMatchObject({
      kind: 'open',
      attributes: { to: 'a&b' },
    });
  });

  it('knows the end, with any prefix', () => {
    expect(read(`<close xmlns='${FRAMING}'/>`)).toEqual({ kind: 'close' });
    expect(read(`<f:close xmlns:f='${FRAMING}'/>`)).toEqual({ kind: 'close' });
  });

  it('is not misled by the name alone', () => {
    expect(read("<open xmlns='jabber:client' to='a'/>").kind).toBe('element');
    expect(read('<close/>').kind).toBe('element');
  });
});
