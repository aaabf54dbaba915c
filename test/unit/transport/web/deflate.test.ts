import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort } from '../../../../src/session/port.js';
import { agreeOnDeflate, compress } from '../../../../src/transport/web/deflate.js';
import { frame, RawWebSocket } from '../../../integration/clients/web-frames.js';
import { closeAll, onClose, openMiddlebox, ScriptedSession, summaryOf, until } from '../middlebox-harness.js';

afterEach(closeAll);

const TAIL = Buffer.from([0, 0, 255, 255]);
/** A whole text message, compressed. */
const COMPRESSED_TEXT = 0xc1;
const OPEN = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.test' version='1.0'/>";
const STREAM =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='a.test' version='1.0'>";

const deflated = (text: string | Buffer) =>
  deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
const inflated = (message: Buffer) =>
  inflateRawSync(Buffer.concat([message, TAIL]), { finishFlush: constants.Z_SYNC_FLUSH }).toString();
const large = (bytes: number) => `<message>${'x'.repeat(bytes)}</message>`;

describe('what is agreed on (RFC 7692 §7.1)', () => {
  it.each<[string | undefined, string | undefined]>([
    [undefined, undefined],
    ['permessage-bzip2', undefined],
    [
      'permessage-deflate; client_max_window_bits',
      'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
    ],
    [
      'permessage-deflate; server_max_window_bits=10; client_max_window_bits=12',
      'permessage-deflate; server_max_window_bits=10; client_max_window_bits=12; server_no_context_takeover; client_no_context_takeover',
    ],
    // Zlib has no such window.
    ['permessage-deflate; server_max_window_bits=8', undefined],
    ['permessage-deflate; server_max_window_bits=99', undefined],
    [
      'permessage-deflate; dictionary=xmpp, permessage-deflate',
      'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
    ],
  ])('%s: %s', (offered, answered) => expect(agreeOnDeflate(offered)?.header).toBe(answered));

  it('the window that the client keeps is enough for what it is sent', () => {
    const agreed = agreeOnDeflate('permessage-deflate; server_max_window_bits=9');
    const text = Array.from({ length: 2_000 }, (_, n) => `<item jid='${n * 7_919}@a.test'/>`).join('');
    const message = compress([Buffer.from(text)], agreed ?? { header: '', windowBits: 15 });
    const seen = inflateRawSync(Buffer.concat([message ?? Buffer.alloc(0), TAIL]), {
      finishFlush: constants.Z_SYNC_FLUSH,
      windowBits: 9,
    });
    expect(seen.toString()).toBe(text);
  });

  it('what would not get smaller is left alone', () => {
    const agreed = { header: '', windowBits: 15 };
    expect(compress([Buffer.from('<presence/>')], agreed)).toBeUndefined();
    const noise = Buffer.from(Array.from({ length: 4_000 }, (_, n) => (n * n * 31 + (n >> 3) * 17) % 251));
    expect(compress([deflateRawSync(noise)], agreed)).toBeUndefined();
  });
});

class Recorder extends ScriptedSession {
  readonly chunks: string[] = [];
  readonly faults: string[] = [];

  constructor(port: SessionPort) {
    super(port);
    this.onData = (_leg, chunk) => this.chunks.push(chunk.toString());
    this.onMisframed = (condition) => {
      this.faults.push(condition);
      port.write('client', Buffer.from(`${STREAM}<stream:error/></stream:stream>`));
      port.end('client');
      port.finished(summaryOf('misframed'));
    };
  }

  get read(): string {
    return this.chunks.join('');
  }
}

async function open({ known = false, listener = 'ws://127.0.0.1:0/ws?deflate=on' } = {}) {
  const sessions: Recorder[] = [];
  const { middlebox } = await openMiddlebox({
    flags: { listeners: [listener] },
    session: (port) => {
      const session = new Recorder(port);
      sessions.push(session);
      return session;
    },
  });
  const port = Number(new URL(middlebox.urls[0] ?? '').port);
  const client = await RawWebSocket.open(port, '/ws', {
    'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
  });
  onClose(() => client.socket.destroy());
  await until(() => sessions.length > 0);
  const session = sessions[0]!;
  if (known) session.port.authenticated();
  return { client, session };
}

/** The frames that came, of less than 64 KiB. */
function framesOf({ received }: RawWebSocket): { readonly first: number; readonly payload: Buffer }[] {
  const frames = [];
  let at = received.indexOf('\r\n\r\n') + 4;
  while (at + 2 <= received.length) {
    const first = received[at] ?? 0;
    const short = received[at + 1] ?? 0;
    const length = short === 126 ? received.readUInt16BE(at + 2) : short;
    at += short === 126 ? 4 : 2;
    frames.push({ first, payload: received.subarray(at, at + length) });
    at += length;
  }
  return frames;
}

describe('messages that are compressed', () => {
  it('are off by default: nothing is agreed on, and nothing compressed is taken', async () => {
    const { client, session } = await open({ listener: 'ws://127.0.0.1:0/ws' });
    expect(client.received.toString()).not.toContain('Extensions');
    client.frame(COMPRESSED_TEXT, deflated(OPEN));
    await client.until('the end', () => client.closed);
    expect(session.faults).toEqual(['bad-format']);
  });

  it('are read like others, between others, in fragments and chunks', async () => {
    const { client, session } = await open();
    expect(client.received.toString()).toContain(
      'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n',
    );
    const message = deflated('<b>in three pieces</b>');
    const bytes = Buffer.concat([
      frame(COMPRESSED_TEXT, deflated(OPEN)),
      frame(0x81, '<a/>'),
      frame(0x41, message.subarray(0, 3)),
      frame(0x00, message.subarray(3, 9)),
      frame(0x89, 'ping in between'),
      frame(0x80, message.subarray(9)),
      frame(COMPRESSED_TEXT, deflated('<c/>')),
      frame(0x81, '<d/>'),
    ]);
    for (let at = 0; at < bytes.length; at += 5) {
      client.socket.write(bytes.subarray(at, at + 5));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => session.read.endsWith('<d/>'));
    expect(session.read.replaceAll(' <', '<')).toContain('<a/><b>in three pieces</b><c/><d/>');
  });

  it('that come together are one event, up to a size', async () => {
    const { client, session } = await open();
    client.socket.write(
      Buffer.concat([OPEN, '<a/>', '<b/>'].map((t) => frame(COMPRESSED_TEXT, deflated(t)))),
    );
    await until(() => session.read.endsWith('<a/><b/>'));
    expect(session.chunks).toHaveLength(1);
  });

  it('are written when they are large, and only when it is known who reads them', async () => {
    const { client, session } = await open();
    const roster = `<iq><query xmlns='jabber:iq:roster'>${"<item jid='someone@a.test'/>".repeat(40)}</query></iq>`;
    session.port.write('client', Buffer.from(`${STREAM}${roster}`));
    session.port.authenticated();
    session.port.write('client', Buffer.from(`${roster}<presence/>`));
    await client.until('all of them', () => framesOf(client).length === 4);
    const [, stranger, known, small] = framesOf(client);
    expect([stranger, known, small].map((one) => one?.first)).toEqual([0x81, COMPRESSED_TEXT, 0x81]);
    expect(known?.payload.length).toBeLessThan(200);
    expect(inflated(known?.payload ?? Buffer.alloc(0))).toBe(stranger?.payload.toString());
  });

  it('come to an end with the connection, in order', async () => {
    const { client, session } = await open();
    let ended = false;
    session.onEnd = () => {
      ended = true;
    };
    client.socket.write(
      Buffer.concat([
        frame(COMPRESSED_TEXT, deflated(OPEN)),
        frame(COMPRESSED_TEXT, deflated('<last/>')),
        frame(0x88, Buffer.from([0x03, 0xe8])),
      ]),
    );
    await until(() => ended);
    expect(session.read).toContain('<last/>');
  });
});

describe('what is more than it seems', () => {
  const end = (code: number) => Buffer.from([0x88, 2, code >> 8, code & 255]);

  it.each<[string, boolean, Buffer[], string, number]>([
    [
      'a bomb',
      false,
      [frame(COMPRESSED_TEXT, deflated(Buffer.alloc(9_000_000, 'x')))],
      'policy-violation',
      1009,
    ],
    [
      'a bomb of who is known',
      true,
      [frame(COMPRESSED_TEXT, deflated(large(50_000_000)))],
      'policy-violation',
      1009,
    ],
    [
      'a bomb in fragments',
      true,
      [...split(deflated(large(50_000_000)), 500)].map((piece, at, all) =>
        frame(at === 0 ? 0x41 : at === all.length - 1 ? 0x80 : 0x00, piece),
      ),
      'policy-violation',
      1009,
    ],
    [
      'a little more than a stranger may send',
      false,
      [frame(COMPRESSED_TEXT, deflated(large(10_000)))],
      'policy-violation',
      1009,
    ],
    [
      'more than may come, compressed',
      false,
      [frame(COMPRESSED_TEXT, Buffer.alloc(10_001))],
      'policy-violation',
      1009,
    ],
    ['no compressed data', false, [frame(COMPRESSED_TEXT, '\xff\xff\xff')], 'not-well-formed', 1007],
    [
      'a thousand fragments of nothing',
      false,
      [frame(0x41, ''), ...Array.from({ length: 1_100 }, () => frame(0x00, ''))],
      'policy-violation',
      1008,
    ],
    ['a compressed ping', false, [frame(0xc9, deflated('x'))], 'bad-format', 1002],
    [
      'a continuation that says it is compressed',
      false,
      [frame(0x41, 'x'), frame(0xc0, 'x')],
      'bad-format',
      1002,
    ],
    ['half an element', false, [frame(COMPRESSED_TEXT, deflated('<a'))], 'not-well-formed', 1008],
    ['two elements', false, [frame(COMPRESSED_TEXT, deflated('<a/><b/>'))], 'bad-format', 1008],
  ])('%s', async (_what, known, frames, condition, code) => {
    const { client, session } = await open({ known });
    client.say(OPEN);
    client.socket.write(Buffer.concat([...frames, frame(0x81, '<presence/>')]));
    await client.until('the end', () => client.closed);
    expect(session.faults).toEqual([condition]);
    expect(session.read).not.toContain('presence');
    expect(client.received.subarray(-4)).toEqual(end(code));
  });

  it('hundreds of large messages in one chunk are read one after the other, while others have their turn', async () => {
    const { client, session } = await open({ known: true });
    client.say(OPEN);
    const message = frame(COMPRESSED_TEXT, deflated(large(250_000)));
    let turns = 0;
    const count = () => {
      turns += 1;
      if (session.chunks.length < 200) setImmediate(count);
    };
    await until(() => session.read !== '');
    count();
    client.socket.write(Buffer.concat(Array.from({ length: 200 }, () => message)));
    await until(() => session.chunks.length > 200);
    expect(Math.max(...session.chunks.map(({ length }) => length))).toBeLessThan(250_100);
    expect(turns).toBeGreaterThanOrEqual(100);
  });

  it('a session that does not read has nothing inflated for it', async () => {
    const { client, session } = await open({ known: true });
    client.say(OPEN);
    await until(() => session.read !== '');
    const take = session.onData;
    session.onData = (...event) => {
      take(...event);
      session.port.pauseReading('client');
    };
    const message = frame(COMPRESSED_TEXT, deflated(large(250_000)));
    client.socket.write(Buffer.concat(Array.from({ length: 20 }, () => message)));
    for (let n = 1; n <= 20; n += 1) {
      await until(() => session.chunks.length === n + 1);
      for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      expect(session.chunks).toHaveLength(n + 1);
      session.port.resumeReading('client');
    }
    session.onData = take;
    client.say('<done/>');
    await until(() => session.read.endsWith('<done/>'));
  });
});

function* split(bytes: Buffer, most: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += most) yield bytes.subarray(at, at + most);
}
