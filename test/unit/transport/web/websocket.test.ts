import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort } from '../../../../src/session/port.js';
import type { SessionStart } from '../../../../src/transport/middlebox.js';
import { frame, RawWebSocket } from '../../../integration/clients/web-frames.js';
import {
  closeAll,
  closed,
  dial,
  onClose,
  openMiddlebox,
  readUntil,
  ScriptedSession,
  summaryOf,
  until,
} from '../middlebox-harness.js';

afterEach(closeAll);

const OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.test' version='1.0'/>";
const STREAM =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='a.test' version='1.0'>";

class Recorder extends ScriptedSession {
  read = '';
  readonly events: string[] = [];

  constructor(
    port: SessionPort,
    readonly start: SessionStart,
  ) {
    super(port);
    this.onData = (_leg, chunk) => {
      this.read += chunk.toString();
      this.events.push('data');
    };
    this.onMisframed = (condition) => this.events.push(`misframed ${condition}`);
    this.onEnd = (leg) => this.events.push(`end ${leg}`);
    this.onLost = (leg, cause) => this.events.push(`lost ${leg} ${cause}`);
    this.onDrained = (leg) => this.events.push(`drained ${leg}`);
    this.onFlushed = (leg) => this.events.push(`flushed ${leg}`);
  }
}

async function open(listeners: string[] = ['ws://127.0.0.1:0/ws']) {
  const sessions: Recorder[] = [];
  const running = await openMiddlebox({
    flags: { listeners },
    session: (port, start) => {
      const session = new Recorder(port, start);
      sessions.push(session);
      return session;
    },
  });
  const [port = 0] = running.middlebox.urls.map((url) => Number(new URL(url).port));
  const connect = async (headers?: Record<string, string>, path = '/ws') => {
    const socket = await RawWebSocket.open(port, path, headers);
    onClose(() => socket.socket.destroy());
    return socket;
  };
  const session = async (at = 0) => {
    await until(() => sessions.length > at);
    return sessions[at]!;
  };
  return { ...running, port, sessions, connect, session };
}

/** The text messages that have come to a client, each in one frame. */
function textsIn({ received }: RawWebSocket): string[] {
  const texts: string[] = [];
  for (let at = received.indexOf('\r\n\r\n') + 4; at + 1 < received.length; ) {
    const short = received[at + 1]!;
    const start = at + (short === 126 ? 4 : 2);
    const end = start + (short === 126 ? received.readUInt16BE(at + 2) : short);
    if (received[at] === 0x81) texts.push(received.toString('utf8', start, end));
    at = end;
  }
  return texts;
}

const refused = (metrics: { registry(strangers: () => number): { metrics(): Promise<string> } }) =>
  metrics.registry(() => 0).metrics();

describe('the handshake (RFC 6455 §4.2, RFC 7395 §3.1)', () => {
  it('answers with the subprotocol, and the key as RFC 6455 §1.3 has it', async () => {
    const { connect } = await open();
    const socket = await connect({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' });
    const answer = socket.received.toString();
    expect(answer).toContain('HTTP/1.1 101 ');
    expect(answer).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
    expect(answer).toContain('Sec-WebSocket-Protocol: xmpp\r\n');
    // Compression is neither offered nor taken.
    expect(answer).not.toContain('Extensions');
  });

  it.each([
    ['another path', {}, '/other', 404],
    ['no subprotocol', { 'Sec-WebSocket-Protocol': 'chat' }, '/ws', 400],
    ['an old version', { 'Sec-WebSocket-Version': '8' }, '/ws', 426],
    ['no key', { 'Sec-WebSocket-Key': 'short' }, '/ws', 400],
  ])('refuses %s', async (_what, headers, path, status) => {
    const { connect, sessions, middlebox } = await open();
    const socket = await connect(headers, path);
    expect(socket.status).toBe(status);
    await until(() => middlebox.admission.strangers === 0);
    expect(sessions).toEqual([]);
  });

  it('what is offered instead of WebSocket is passed over: there is nothing else on its path', async () => {
    const { connect, sessions } = await open();
    const socket = await connect({ Upgrade: 'h2c' }, '/ws');
    expect(socket.status).toBe(426);
    // RFC 9110 §15.5.22.
    expect(socket.received.toString()).toMatch(/\r\nUpgrade: websocket\r\n/);
    await socket.until('the end', () => socket.closed);
    expect(sessions).toEqual([]);
  });

  it('RFC 6455 §4.4: who speaks another version is told which one to speak', async () => {
    const { connect } = await open();
    const answer = (await connect({ 'Sec-WebSocket-Version': '12' })).received.toString();
    expect(answer).toMatch(/\r\nSec-WebSocket-Version: 13\r\n/);
    expect(answer).toMatch(/\r\nUpgrade: websocket\r\n/);
    expect(answer).toMatch(/\r\nConnection: close, Upgrade\r\n/);
  });

  it.each([
    ['several subprotocols', { 'Sec-WebSocket-Protocol': 'chat, xmpp , x' }],
    ['another protocol besides', { Upgrade: 'h2c, WebSocket' }],
    ['more options of the connection', { Connection: 'keep-alive, Upgrade' }],
  ])('RFC 6455 §4.2.1: lets in who names %s', async (_what, headers) => {
    const { connect, session } = await open();
    const socket = await connect(headers);
    expect(socket.status).toBe(101);
    expect(socket.received.toString()).toContain('Sec-WebSocket-Protocol: xmpp\r\n');
    socket.say(OPEN);
    const it = await session();
    await until(() => it.read !== '');
  });

  it('lets pages of listed origins in, and programs that name none', async () => {
    const { connect, sessions, metrics } = await open([
      'ws://127.0.0.1:0/ws?origin=https://chat.example.org&origin=http://localhost:8080',
    ]);
    for (const origin of ['https://chat.example.org', 'http://localhost:8080'])
      expect((await connect({ Origin: origin })).status).toBe(101);
    expect((await connect()).status).toBe(101);
    for (const origin of [
      'https://evil.example',
      'http://chat.example.org',
      'https://chat.example.org.evil.example',
      'null',
    ])
      expect((await connect({ Origin: origin })).status).toBe(403);
    expect(sessions).toHaveLength(3);
    expect(await refused(metrics)).toContain('connections_refused_total{reason="origin-refused"} 4');
  });
});

describe('who is there (front ends)', () => {
  it('believes X-Forwarded headers of trusted addresses only', async () => {
    const { connect, session } = await open(['ws://127.0.0.1:0/ws?forwarded=127.0.0.0/8']);
    await connect({ 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https' });
    const { start } = await session();
    expect(start.peer).toBe('192.0.2.7');
    expect(start.directTls).toEqual({ protocol: 'forwarded', certificateSha256: undefined });
    const untrusting = await open();
    await untrusting.connect({ 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https' });
    const other = await untrusting.session();
    expect(other.start.peer).toBe('127.0.0.1');
    expect(other.start.directTls).toBeUndefined();
  });

  it('tls=required: lets in who came over TLS by the word of the front end, and nobody else', async () => {
    const { connect, sessions } = await open(['ws://127.0.0.1:0/ws?tls=required&forwarded=127.0.0.1']);
    expect((await connect({ 'X-Forwarded-Proto': 'https' })).status).toBe(101);
    expect((await connect({ 'X-Forwarded-Proto': 'http' })).status).toBe(403);
    expect((await connect()).status).toBe(403);
    expect(sessions).toHaveLength(1);
  });

  it('does not choose between two stories', async () => {
    const { connect } = await open(['ws://127.0.0.1:0/ws?forwarded=127.0.0.1']);
    expect((await connect({ Forwarded: 'for=192.0.2.1', 'X-Forwarded-For': '192.0.2.2' })).status).toBe(400);
  });

  it('reads a PROXY header in front of the request, together with what the front end behind it says', async () => {
    const { port, session } = await open(['ws://127.0.0.1:0/ws?accept-proxy=127.0.0.1&forwarded=10.0.0.0/8']);
    const socket = await dial(port);
    const request = (await requestText()).replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n');
    socket.write(`PROXY TCP4 10.1.2.3 10.0.0.9 5000 443\r\n${request}`);
    await readUntil(socket, '101 Switching');
    expect((await session()).start.peer).toBe('192.0.2.9');
  });

  it('counts strangers by the address behind the front end', async () => {
    const { connect, middlebox, sessions } = await open(['ws://127.0.0.1:0/ws?forwarded=127.0.0.1']);
    middlebox.admission.limits = { unauthenticatedConnections: 100, unauthenticatedPerAddress: 2 };
    for (let n = 0; n < 4; n += 1) await connect({ 'X-Forwarded-For': '192.0.2.1' });
    await connect({ 'X-Forwarded-For': '192.0.2.2' });
    expect(sessions).toHaveLength(3);
    expect(middlebox.admission.strangers).toBe(3);
    for (const { port } of sessions) port.authenticated();
    expect(middlebox.admission.strangers).toBe(0);
  });
});

it('too many strangers over TLS: turned away like others', async () => {
  const { port, middlebox, sessions, metrics } = await open(['wss://127.0.0.1:0/ws?forwarded=127.0.0.1']);
  middlebox.admission.limits = { unauthenticatedConnections: 100, unauthenticatedPerAddress: 1 };
  const ask = async () => {
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
    });
    onClose(() => socket.destroy());
    socket.on('error', () => {});
    const request = await requestText();
    socket.write(request.replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n'));
    return new Promise<string>((resolve) => {
      socket.once('data', (data: Buffer) =>
        resolve(`${socket.alpnProtocol} ${data.toString().slice(0, 12)}`),
      );
      socket.once('close', () => resolve('closed'));
    });
  };
  expect([await ask(), await ask()]).toEqual(['http/1.1 HTTP/1.1 101', 'closed']);
  expect(sessions).toHaveLength(1);
  expect(await refused(metrics)).toContain('reason="too-many-from-address"} 1');
});

async function requestText(): Promise<string> {
  return [
    'GET /ws HTTP/1.1',
    'Host: a.test',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: xmpp\r\n\r\n',
  ].join('\r\n');
}

describe('what is slow before there is a session', () => {
  it.each([
    ['nothing', ''],
    ['half a request line', 'GET /w'],
    ['headers without an end', 'GET /ws HTTP/1.1\r\nHost: a\r\nX-A: '],
  ])('%s: cut off in time', async (_what, bytes) => {
    const { port, advance, middlebox } = await open();
    const socket = await dial(port);
    socket.write(bytes);
    await until(() => middlebox.admission.strangers === 1);
    advance(14_000);
    expect(socket.destroyed).toBe(false);
    advance(2_000);
    await closed(socket);
    await until(() => middlebox.admission.strangers === 0);
  });

  it('RFC 6585 §5: headers that are too large are told so', async () => {
    const { port } = await open();
    const socket = await dial(port);
    socket.write(`GET /ws HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    await readUntil(socket, 'HTTP/1.1 431 ');
    await closed(socket);
  });

  it('what is no HTTP is answered and cut off', async () => {
    const { port, middlebox } = await open();
    const socket = await dial(port);
    socket.write("<stream:stream to='a.test'>\r\n\r\n");
    await readUntil(socket, 'HTTP/1.1 400 ');
    await closed(socket);
    await until(() => middlebox.admission.strangers === 0);
  });
});

describe('messages and the stream', () => {
  it('a message is a piece of the stream, in whatever fragments and chunks it comes', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const { socket: tcp } = socket;
    const bytes = Buffer.concat([
      frame(0x81, OPEN),
      frame(0x01, '<mess'),
      frame(0x89, 'ping in between'),
      frame(0x00, "age xmlns='jabber:client'>"),
      frame(0x80, '</message>'),
    ]);
    for (let at = 0; at < bytes.length; at += 7) {
      tcp.write(bytes.subarray(at, at + 7));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const it = await session();
    await until(() => it.read.includes('</message>'));
    expect(it.read.replaceAll(' <', '<')).toBe(
      "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.test' version='1.0'><message xmlns='jabber:client'></message>",
    );
  });

  it('clients share what reads frames only where one has nothing half said: what one has begun is no other’s', async () => {
    const { connect, session } = await open();
    const clients = [await connect(), await connect(), await connect()];
    for (const client of clients) client.say(OPEN);
    // In the middle of a frame, of a frame's head, and of a message.
    const whole = frame(0x81, "<a xmlns='urn:0'/>");
    const pieces = [
      [whole.subarray(0, 9), whole.subarray(9)],
      [frame(0x81, "<a xmlns='urn:1'/>").subarray(0, 1), frame(0x81, "<a xmlns='urn:1'/>").subarray(1)],
      [frame(0x01, '<a '), frame(0x80, "xmlns='urn:2'/>")],
    ] as const;
    const sessions = [await session(0), await session(1), await session(2)];
    for (const it of sessions) await until(() => it.read.endsWith('>'));
    for (const at of [0, 1]) {
      for (const [n, client] of clients.entries()) {
        client.socket.write(pieces[n]![at]!);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    for (const [n, it] of sessions.entries()) await until(() => it.read.endsWith(`<a xmlns='urn:${n}'/>`));
  });

  it('messages that come together are one event', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    socket.socket.write(Buffer.concat([OPEN, '<a/>', '<b/>'].map((text) => frame(0x81, text))));
    const it = await session();
    await until(() => it.read.endsWith('<a/><b/>'));
    expect(it.events).toEqual(['data']);
  });

  it('each element that the session writes is a message, however it writes them', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    for (const bytes of [STREAM, '<message/><pres', 'ence/>', ' ', '</stream:stream>'])
      it.port.write('client', Buffer.from(bytes));
    it.port.end('client');
    await socket.until('the close frame', () =>
      socket.received.subarray(-4).equals(Buffer.from([0x88, 2, 3, 232])),
    );
    expect(socket.text.replace(/[^\x20-\x7e]+/g, '|')).toMatch(
      /<open [^>]*\/>\|.*<message xmlns='jabber:client'\/>\|.*<presence xmlns='jabber:client'\/>\|.*<close xmlns='[^']*'\/>\|/,
    );
  });

  it('RFC 7395 §3.3.3: a stanza says the language that it has on the stream, if it does not say its own', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    const stream = STREAM.replace("from='a.test'", "from='a.test' xml:lang='de'");
    for (const bytes of [
      stream,
      "<message id='1'><body>x</body></message><message xml:lang='fr'/>",
      "<presence xmlns='jabber:client'/><c:iq xmlns:c='jabber:client' id='2'/>",
      "<r xmlns='urn:xmpp:sm:3'/><stream:features/>",
      // The next stream says nothing of it.
      `${STREAM}<message id='last'/>`,
    ])
      it.port.write('client', Buffer.from(bytes));
    await socket.until('the last', () => socket.text.includes('last'));
    const elements = textsIn(socket).filter((text) => !text.startsWith('<open'));
    expect(elements).toEqual([
      "<message xml:lang='de' xmlns='jabber:client' id='1'><body>x</body></message>",
      "<message xmlns='jabber:client' xml:lang='fr'/>",
      "<presence xml:lang='de' xmlns='jabber:client'/>",
      "<c:iq xml:lang='de' xmlns='jabber:client' xmlns:c='jabber:client' id='2'/>",
      "<r xmlns='urn:xmpp:sm:3'/>",
      "<stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'/>",
      "<message xmlns='jabber:client' id='last'/>",
    ]);
  });

  it('a slow reader is waited for, and told when it is done', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    socket.socket.pause();
    it.port.write('client', Buffer.from(STREAM));
    const large = Buffer.from(`<message>${'x'.repeat(100_000)}</message>`);
    let written = 0;
    while (it.port.write('client', large)) {
      written += 1;
      await new Promise((resolve) => setImmediate(resolve));
      expect(written).toBeLessThan(200);
    }
    it.port.whenFlushed('client');
    expect(it.port.unsent('client')).toBeGreaterThan(100_000);
    socket.socket.resume();
    await until(() => it.events.includes('drained client') && it.events.includes('flushed client'));
    expect(it.port.unsent('client')).toBe(0);
  });

  it('a session that does not read is not read for', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    socket.say(OPEN);
    const it = await session();
    await until(() => it.read !== '');
    it.port.pauseReading('client');
    const { length } = it.read;
    const message = frame(0x81, `<message>${'x'.repeat(9_000)}</message>`);
    for (let n = 0; n < 2_000; n += 1) socket.socket.write(message);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(it.read.length - length).toBeLessThan(200_000);
    expect(socket.socket.writableLength).toBeGreaterThan(1_000_000);
    it.port.resumeReading('client');
    await until(() => it.read.length - length > 17_000_000);
  });

  it('a close frame without <close/> is an end without a word, and is answered', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    socket.say(OPEN);
    socket.frame(0x88, Buffer.from([0x03, 0xe9]));
    const it = await session();
    await until(() => it.events.includes('end client'));
    expect(it.read).not.toContain('</stream:stream>');
    await socket.until('the answer', () =>
      socket.received.subarray(-4).equals(Buffer.from([0x88, 2, 3, 233])),
    );
  });

  it('<close/> is the end of the stream', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    socket.say(OPEN);
    socket.say("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>");
    const it = await session();
    await until(() => it.read.endsWith('</stream:stream>'));
  });

  it('a connection that is cut is lost', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    socket.socket.resetAndDestroy();
    await until(() => it.events.some((event) => event.startsWith('lost client')));
  });
});

describe('what breaks the framing', () => {
  const NOTHING_READ = ['misframed bad-format'];
  it.each<[string, Buffer[], string[], number]>([
    ['a stanza before <open/>', [frame(0x81, '<presence/>')], NOTHING_READ, 1008],
    ['a stream header', [frame(0x81, STREAM)], NOTHING_READ, 1008],
    ['white space', [frame(0x81, ' ')], NOTHING_READ, 1008],
    ['an empty message', [frame(0x81, '')], NOTHING_READ, 1008],
    ['a binary message', [frame(0x82, OPEN)], NOTHING_READ, 1003],
    ['two elements', [frame(0x81, OPEN), frame(0x81, '<a/><b/>')], ['data', ...NOTHING_READ], 1008],
    [
      'half an element',
      [frame(0x81, OPEN), frame(0x81, '<a><b/>')],
      ['data', 'misframed not-well-formed'],
      1008,
    ],
    [
      'a message that is no UTF-8',
      [frame(0x81, Buffer.from([0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]))],
      ['misframed not-well-formed'],
      1007,
    ],
    [
      'a close frame whose reason is no UTF-8',
      [frame(0x88, Buffer.from([0x03, 0xe8, 0xff]))],
      ['misframed not-well-formed'],
      1007,
    ],
    ['a close frame with a code that is none', [frame(0x88, Buffer.from([0x03, 0xe7]))], NOTHING_READ, 1002],
    ['a ping of more than 125 bytes', [frame(0x89, 'x'.repeat(126))], NOTHING_READ, 1002],
    ['a frame without a mask', [frame(0x81, OPEN, false)], NOTHING_READ, 1002],
    ['a reserved bit', [frame(0xc1, OPEN)], NOTHING_READ, 1002],
    ['a continuation of nothing', [frame(0x80, OPEN)], NOTHING_READ, 1002],
    ['a ping in fragments', [frame(0x09, 'x')], NOTHING_READ, 1002],
    ['an unknown kind of frame', [frame(0x83, 'x')], NOTHING_READ, 1002],
    [
      'more bytes than a stranger may send',
      [frame(0x81, `<a>${'x'.repeat(10_000)}`)],
      ['misframed policy-violation'],
      1009,
    ],
    [
      'a length of exabytes',
      [Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4])],
      ['misframed policy-violation'],
      1009,
    ],
    [
      'a thousand fragments of nothing',
      [frame(0x01, '<'), ...Array.from({ length: 1_100 }, () => frame(0x00, ''))],
      ['misframed policy-violation'],
      1008,
    ],
  ])('%s', async (_what, frames, events, code) => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    it.onMisframed = (condition) => {
      it.events.push(`misframed ${condition}`);
      it.port.write('client', Buffer.from(`${STREAM}<stream:error/></stream:stream>`));
      it.port.end('client');
      it.port.finished(summaryOf('misframed'));
    };
    socket.socket.write(Buffer.concat([...frames, frame(0x81, '<presence/>')]));
    await socket.until('the end', () => socket.closed);
    expect(it.events).toEqual(events);
    expect(socket.received.subarray(-4)).toEqual(Buffer.from([0x88, 2, code >> 8, code & 255]));
  });

  it('who is known may send what the known may send', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    socket.say(OPEN);
    const it = await session();
    it.port.authenticated();
    socket.say(`<message>${'x'.repeat(200_000)}</message>`);
    await until(() => it.read.endsWith('</message>'));
    socket.say(`<message>${'x'.repeat(300_000)}</message>`);
    await until(() => it.events.includes('misframed policy-violation'));
  });

  it('who pings and does not read makes nothing pile up', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    socket.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame(0x89, 'x'.repeat(125))));
    for (let n = 0; n < 200; n += 1) {
      socket.socket.write(pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => socket.socket.writableLength === 0);
    expect(it.port.unsent('client')).toBeLessThan(10_000);
  });

  it('who pings while much is on its way to him is answered behind it, once', async () => {
    const { connect, session } = await open();
    const socket = await connect();
    const it = await session();
    socket.say(OPEN);
    await until(() => it.read !== '');
    socket.socket.pause();
    it.port.write('client', Buffer.from(STREAM));
    const large = Buffer.from(`<message>${'x'.repeat(100_000)}</message>`);
    while (it.port.write('client', large)) await new Promise((resolve) => setImmediate(resolve));
    socket.socket.write(Buffer.concat([0, 1, 2].map((n) => frame(0x89, `ping ${n}`))));
    await until(() => it.read.endsWith('   '));
    it.port.write('client', Buffer.from('<message>last</message>'));
    socket.socket.resume();
    await socket.until('the last message', () => socket.text.includes('last<'));
    const pongs = socket.text.match(/ping \d/g);
    expect(pongs).toEqual(['ping 0']);
    expect(socket.text.indexOf('ping 0')).toBeGreaterThan(socket.text.lastIndexOf('xxx'));
  });
});
