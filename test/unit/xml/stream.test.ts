import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { AFTER_AUTH, BEFORE_AUTH } from '../../../src/xml/limits.js';
import { Tokenizer, type TokenizerSink } from '../../../src/xml/tokenizer.js';
import { HEADER, read, readFourWays, refusal, table } from './stream-reading.js';

const STREAMS = "xmlns:stream='http://etherx.jabber.org/streams'";
const OPEN = `<stream:stream xmlns='jabber:client' ${STREAMS}>`;

function outcome(input: string | Buffer, origin: 'client' | 'server' = 'client'): string {
  const { error, headers } = readFourWays(input, { origin });
  return error === undefined ? `headers: ${headers.length}` : `${error.condition} ${error.reason}`;
}

describe('RFC 6120 §4.7: stream header', () => {
  test('its values', () => {
    const { headers } = readFourWays(
      `<?xml version='1.0'?><stream:stream from='a&amp;b' to='ü' id='++' xml:lang='en' version='1.0' xmlns:ack='u' xmlns='jabber:client' ${STREAMS}>`,
    );
    expect(headers).toEqual([
      {
        to: 'ü',
        from: 'a&b',
        id: '++',
        lang: 'en',
        version: '1.0',
        defaultNamespace: 'jabber:client',
        prefix: 'stream',
        declarations: new Map([
          ['ack', 'u'],
          ['', 'jabber:client'],
          ['stream', 'http://etherx.jabber.org/streams'],
        ]),
      },
    ]);
  });

  test('an attribute of another namespace is not one of ours', () => {
    expect(
      readFourWays(`<stream:stream xmlns='jabber:client' ${STREAMS} stream:to='x'>`).headers[0]?.to,
    ).toBeUndefined();
  });

  test.each([
    ["<?xml version='1.0'?>", 'headers: 1'],
    ['', 'headers: 1'],
    ['\n \r\t', 'headers: 1'],
    ['\ufeff', 'headers: 1'],
    ['\ufeff\n', 'headers: 1'],
    ["\ufeff<?xml version='1.0'?>\n", 'headers: 1'],
    ["<?xml version = \"1.0\"\tencoding='utf-8' standalone='yes' ?>", 'headers: 1'],
    ["<?xml version='1.0' encoding='UTF-8'?>", 'headers: 1'],
    ["<?xml version='1.0' encoding='Utf-8'?>", 'headers: 1'],
    ['\ufeff\ufeff', 'not-well-formed text-outside-stream'],
    [" <?xml version='1.0'?>", 'not-well-formed misplaced-declaration'],
    ["<?xml version='1.0'?><?xml version='1.0'?>", 'not-well-formed misplaced-declaration'],
    ["<?xml version='1.1'?>", 'not-well-formed xml-version'],
    ["<?xml version='1.0' encoding='ISO-8859-1'?>", 'unsupported-encoding encoding'],
    ["<?xml version='1.0' encoding='UTF-16'?>", 'unsupported-encoding encoding'],
    ["<?xml version='1.0' encoding='UTF8'?>", 'unsupported-encoding encoding'],
    ["<?xml encoding='UTF-8'?>", 'not-well-formed malformed-declaration'],
    ["<?xml encoding='UTF-8' version='1.0'?>", 'not-well-formed malformed-declaration'],
    ["<?xml version='1.0'encoding='UTF-8'?>", 'not-well-formed malformed-declaration'],
    ["<?xml version='1.0' standalone='maybe'?>", 'not-well-formed malformed-declaration'],
    ["<?xml version='1.0'>", 'not-well-formed malformed-declaration'],
    ['<?xml ?>', 'not-well-formed malformed-declaration'],
    ['<?xml?>', 'restricted-xml processing-instruction'],
    ['<?xmlx ?>', 'restricted-xml processing-instruction'],
    ['<?XML version="1.0"?>', 'restricted-xml processing-instruction'],
    ['<?php ?>', 'restricted-xml processing-instruction'],
    ["<?xml version='1.0'?><?php ?>", 'restricted-xml processing-instruction'],
    ['<!-- x -->', 'restricted-xml comment'],
    ['<!DOCTYPE stream>', 'restricted-xml dtd'],
    ['<![CDATA[x]]>', 'not-well-formed text-outside-stream'],
    ['GET / HTTP/1.1', 'not-well-formed text-outside-stream'],
    ['</stream:stream>', 'not-well-formed mismatched-tag'],
  ])('in front of it: %j: %s', (before, expected) => {
    expect(outcome(before + OPEN)).toBe(expected);
  });

  test.each(['utf16le', 'utf16be', 'utf16le with mark', 'utf16be with mark'])(
    'RFC 6120 §11.6: %s',
    (encoding) => {
      const bytes = Buffer.from((encoding.includes('mark') ? '\ufeff' : '') + OPEN, 'utf16le');
      if (encoding.startsWith('utf16be')) bytes.swap16();
      expect(outcome(bytes)).toBe('unsupported-encoding encoding');
    },
  );

  test.each([
    ["<stream xmlns='http://etherx.jabber.org/streams'>", 'headers: 1'],
    [`<stream:stream ${STREAMS}>`, 'invalid-namespace content-namespace'],
    [`<stream:stream xmlns='' ${STREAMS}>`, 'invalid-namespace content-namespace'],
    [`<stream:stream xmlns='jabber:server' ${STREAMS}>`, 'invalid-namespace content-namespace'],
    [
      `<stream:stream xmlns='http://etherx.jabber.org/streams' ${STREAMS}>`,
      'invalid-namespace content-namespace',
    ],
    ["<stream:stream xmlns='jabber:client' xmlns:stream='u'>", 'invalid-namespace stream-namespace'],
    ["<stream xmlns='jabber:client'>", 'invalid-namespace stream-namespace'],
    ['<html>', 'invalid-namespace stream-namespace'],
    [
      "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>",
      'bad-namespace-prefix stream-prefix',
    ],
    ["<stream:stream xmlns='jabber:client'>", 'bad-namespace-prefix undeclared-prefix'],
    [`<stream:features xmlns='jabber:client' ${STREAMS}>`, 'bad-format not-a-stream'],
  ])('RFC 6120 §4.8: %s: %s', (header, expected) => {
    expect(outcome(header)).toBe(expected);
  });

  test('a server that has only an error to say declares no default namespace', () => {
    const { headers, stanzas, error } = readFourWays(
      `<stream:stream ${STREAMS} version='1.0'><stream:error><x xmlns='u'/></stream:error></stream:stream>`,
      { origin: 'server' },
    );
    expect(error).toBeUndefined();
    expect(headers[0]?.defaultNamespace).toBeUndefined();
    expect(stanzas.map(({ name, portable }) => [name, portable])).toEqual([
      ['{http://etherx.jabber.org/streams}error', true],
    ]);
  });

  test('with a prefix-free header a stanza is one only if it declares jabber:client itself', () => {
    const { stanzas, closed } = readFourWays(
      "<stream xmlns='http://etherx.jabber.org/streams'><message xmlns='jabber:client'/><message/></stream>",
    );
    expect(stanzas.map(({ kind, portable }) => [kind, portable])).toEqual([
      [1, true],
      [0, false],
    ]);
    expect(closed).toBe(true);
  });

  test('the limit on bytes holds for header and declaration', () => {
    const padding = 'x'.repeat(BEFORE_AUTH.stanzaBytes);
    expect(read([Buffer.from(`<stream:stream to='${padding}`)], { limits: BEFORE_AUTH }).error?.reason).toBe(
      'stanza-too-big',
    );
    expect(read([Buffer.from(`<?xml ${padding}`)], { limits: BEFORE_AUTH }).error?.reason).toBe(
      'stanza-too-big',
    );
  });
});

describe('end of the stream', () => {
  test.each(['</stream:stream>', '</stream:stream >\n '])('%j', (end) => {
    const reading = readFourWays(`${HEADER}<presence/>${end}`);
    expect(reading.error).toBeUndefined();
    expect(reading.closed).toBe(true);
  });

  test('a stream that is only a header', () => {
    const reading = readFourWays(`<stream:stream xmlns='jabber:client' ${STREAMS}/>`);
    expect([reading.headers.length, reading.closed]).toEqual([1, true]);
  });
});

/** Records calls; `then` runs inside each. */
function recording(then: (event: string) => void = () => {}): { sink: TokenizerSink; events: string[] } {
  const events: string[] = [];
  const note = (event: string): void => {
    events.push(event);
    then(event);
  };
  return {
    events,
    sink: {
      onHeader: (header) => note(`header ${header.to}`),
      onStanza: (frame) => note(frame.toString()),
      onWhitespace: (_, start, end) => note(`white ${end - start}`),
      onClose: () => note('close'),
    },
  };
}

const options = { limits: AFTER_AUTH, origin: 'client', namespaces: table } as const;

describe('what the caller can do', () => {
  test('white space between stanzas is reported and never kept', () => {
    const { sink, events } = recording();
    const tokenizer = new Tokenizer(sink, { ...options, limits: { ...AFTER_AUTH, stanzaBytes: 200 } });
    tokenizer.push(Buffer.from(`${HEADER} \n<presence/>${' '.repeat(1000)}`));
    expect(tokenizer.pendingBytes).toBe(0);
    expect(events).toEqual(['header example.org', 'white 2', '<presence/>', 'white 1000']);
  });

  test('frames of a chunk point into it, and a carried one does not', () => {
    const buffers: Buffer[] = [];
    const tokenizer = new Tokenizer(
      { onHeader() {}, onStanza: (frame) => void buffers.push(frame.buffer), onClose() {} },
      options,
    );
    const first = Buffer.from(`${HEADER}<presence/><presence/><mess`);
    const second = Buffer.from('age/><iq/><iq/>');
    tokenizer.push(first);
    expect(tokenizer.pendingBytes).toBe('<mess'.length);
    tokenizer.push(second);
    expect(tokenizer.pendingBytes).toBe(0);
    expect(buffers.map((buffer) => [buffer === first, buffer === second])).toEqual([
      [true, false],
      [true, false],
      [false, false],
      [false, true],
      [false, true],
    ]);
  });

  test('a buffer handed out is never written to again', () => {
    const kept: [Buffer, string][] = [];
    const tokenizer = new Tokenizer(
      { onHeader() {}, onStanza: (frame) => void kept.push([frame.bytes(), frame.toString()]), onClose() {} },
      options,
    );
    const stream = Buffer.from(HEADER + Array.from({ length: 50 }, (_, i) => `<iq id='${i}'/>`).join(''));
    for (let at = 0; at < stream.length; at += 7) tokenizer.push(stream.subarray(at, at + 7));
    expect(kept).toHaveLength(50);
    for (const [bytes, text] of kept) expect(bytes.toString()).toBe(text);
  });

  test('a detached frame outlives the next stanza and the chunk', () => {
    const kept: import('../../../src/xml/frame.js').Frame[] = [];
    const tokenizer = new Tokenizer(
      { onHeader() {}, onStanza: (frame) => void kept.push(frame.detach()), onClose() {} },
      options,
    );
    const chunk = Buffer.from(
      `${HEADER}<message to='a'><body/></message><iq type='get'><q xmlns='urn:q'/></iq>`,
    );
    tokenizer.push(chunk);
    chunk.fill(0);
    expect(
      kept.map((frame) => [frame.kind, frame.to, frame.type, frame.childName(0), frame.childNamespace(0)]),
    ).toEqual([
      [1, 'a', undefined, 'body', 'jabber:client'],
      [3, undefined, 'get', 'q', 'urn:q'],
    ]);
  });

  test('restart from inside: what stands behind in the chunk is the new stream', () => {
    const success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for (const size of [1, 5, 10_000]) {
      const { sink, events } = recording((event) => {
        if (event === success) tokenizer.restart();
      });
      const tokenizer = new Tokenizer(sink, options);
      const bytes = Buffer.from(`${HEADER}${success}${HEADER.replace('example.org', 'again')}<iq/>`);
      for (let at = 0; at < bytes.length; at += size) {
        expect(tokenizer.push(bytes.subarray(at, at + size))).toBeUndefined();
      }
      expect(events).toEqual(['header example.org', success, 'header again', '<iq/>']);
    }
  });

  test('restart from outside drops what is incomplete', () => {
    const { sink, events } = recording();
    const tokenizer = new Tokenizer(sink, options);
    tokenizer.push(Buffer.from(`${HEADER}<message><bo`));
    tokenizer.restart();
    expect(tokenizer.pendingBytes).toBe(0);
    expect(tokenizer.push(Buffer.from(HEADER))).toBeUndefined();
    expect(events).toEqual(['header example.org', 'header example.org']);
  });

  test.each([1, 3, 10_000])(
    'RFC 6120 §5.3.3: stop at <starttls/> and count what was sent behind it; chunks of %i',
    (size) => {
      let atStop = -1;
      const { sink, events } = recording((event) => {
        if (event.startsWith('<starttls')) atStop = tokenizer.stop();
      });
      const tokenizer = new Tokenizer(sink, options);
      const bytes = Buffer.from(`${HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>  <iq/>`);
      let behind = 0;
      for (let at = 0; at < bytes.length; at += size) {
        tokenizer.push(bytes.subarray(at, at + size));
        behind = tokenizer.leftover;
      }
      expect(events).toHaveLength(2);
      expect(behind).toBe('  <iq/>'.length);
      expect(atStop).toBe(size === 10_000 ? behind : size === 1 ? 0 : atStop);
    },
  );

  test('nothing behind: leftover is 0', () => {
    const { sink } = recording(() => tokenizer.stop());
    const tokenizer = new Tokenizer(sink, options);
    tokenizer.push(Buffer.from(HEADER));
    expect(tokenizer.leftover).toBe(0);
  });

  test('limits may be replaced between stanzas', () => {
    const { sink, events } = recording((event) => {
      if (event === '<presence/>') tokenizer.limits = AFTER_AUTH;
    });
    const tokenizer = new Tokenizer(sink, { ...options, limits: { ...BEFORE_AUTH, children: 1 } });
    tokenizer.push(Buffer.from(`${HEADER}<presence/><iq><a/><b/></iq>`));
    expect(events).toHaveLength(3);
  });

  test('a sink may parse stanzas of its own meanwhile', async () => {
    const { parseStanza } = await import('../../../src/xml/tokenizer.js');
    const seen: string[] = [];
    const tokenizer = new Tokenizer(
      {
        onHeader() {},
        onStanza: (frame) => {
          const own = parseStanza(Buffer.from("<iq to='own'><q xmlns='urn:own'/></iq>"), table);
          if ('condition' in own) throw new Error(own.reason);
          seen.push(`${frame.to} ${frame.childCount} ${own.to} ${own.childNamespace(0)}`);
        },
        onClose() {},
      },
      options,
    );
    tokenizer.push(Buffer.from(`${HEADER}<message to='a'><b/><c/></message><presence to='b'/>`));
    expect(seen).toEqual(['a 2 own urn:own', 'b 0 own urn:own']);
  });
});

describe('limits are enforced while the stanza is arriving', () => {
  const limits = { stanzaBytes: 300, depth: 4, attributes: 4, children: 3, namespaces: 3 };
  const at = (xml: string): string | undefined => refusal(xml, { limits });

  test('bytes: as many as allowed, and one more', () => {
    const fill = (n: number): string => `<a>${'x'.repeat(n - 7)}</a>`;
    expect(at(fill(300))).toBeUndefined();
    expect(at(fill(301))).toBe('policy-violation stanza-too-big');
    expect(at(`<a>${'x'.repeat(297)}`)).toBeUndefined();
    expect(at(`<a>${'x'.repeat(298)}`)).toBe('policy-violation stanza-too-big');
    expect(refusal(fill(301), { limits, origin: 'server' })).toBe('policy-violation stanza-too-big');
  });

  test.each([
    ['<a><b><c><d/></c></b></a>', undefined],
    ['<a><b><c><d><e/>', 'policy-violation too-deep'],
    ["<a b='' c='' d='' e=''/>", undefined],
    ["<a b='' c='' d='' e='' f=''", 'policy-violation too-many-attributes'],
    ['<a><b/><b/><b/></a>', undefined],
    ['<a><b/><b/><b/><b/>', 'policy-violation too-many-children'],
    ["<a><b xmlns='1'><c xmlns='2'><d xmlns='3'/><d xmlns='4'/></c></b></a>", undefined],
    ["<a xmlns='0'><b xmlns='1'><c xmlns='2'><d xmlns='3'/>", 'policy-violation too-many-namespaces'],
  ])('%s: %s', (xml, expected) => {
    expect(at(xml)).toBe(expected);
    if (expected === undefined) return;
    const reading = read([Buffer.from(HEADER + xml)], { limits, origin: 'server' });
    expect(reading.error, 'soft for a server').toBeUndefined();
  });

  test('over a soft limit a stanza of a server still frames, with the flaw', () => {
    const xml = [
      '<a><b><c><d><e><f/></e></d></c></b><g/></a>',
      "<a b='' c='' d='' e='' f=''/>",
      '<a><b/><b/><b/><b/><b><c/></b></a>',
      "<a><b xmlns:a='1' xmlns:b='2'><c xmlns:c='3' xmlns:d='4'><d:x/></c></b><g xmlns:d='1'/></a>",
      '<presence/>',
    ];
    const { stanzas } = readFourWays(HEADER + xml.join(''), { limits, origin: 'server' });
    expect(stanzas.map((stanza) => stanza.xml)).toEqual(xml);
    expect(stanzas.map((stanza) => stanza.flaw)).toEqual([
      'too-deep',
      'too-many-attributes',
      'too-many-children',
      'too-many-namespaces',
      'none',
    ]);
    expect(stanzas[2]?.children).toHaveLength(3);
    // Behind the child that is beyond reading, names are resolved again.
    expect(stanzas[0]?.children[1]?.name).toBe('{jabber:client}g');
    expect(stanzas[3]?.children[1]?.name).toBe('{jabber:client}g');
  });
});
