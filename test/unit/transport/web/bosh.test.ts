import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { SessionPort } from '../../../../src/session/port.js';
import type { SessionStart } from '../../../../src/transport/middlebox.js';
import {
  closeAll,
  closed,
  dial,
  onClose,
  openMiddlebox,
  ScriptedSession,
  summaryOf,
  until,
} from '../middlebox-harness.js';

afterEach(closeAll);

const NS = "xmlns='http://jabber.org/protocol/httpbind'";
const STREAM =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='s1' from='a.test' version='1.0'>";
const FEATURES = `${STREAM}<stream:features><bind xmlns='urn:b'/></stream:features>`;

class Recorder extends ScriptedSession {
  read = '';
  readonly events: string[] = [];

  constructor(
    port: SessionPort,
    readonly start: SessionStart,
    answers: boolean,
  ) {
    super(port);
    this.onData = (_leg, chunk) => {
      if (this.read === '' && answers) this.write(FEATURES);
      this.read += chunk.toString();
    };
    this.onPaused = (paused) => this.events.push(paused ? 'paused' : 'back');
    this.onLost = (leg, cause) => {
      this.events.push(`lost ${leg} ${cause}`);
      this.port.finished(summaryOf('lost'));
    };
    this.onDrained = () => this.events.push('drained');
    this.onFlushed = () => this.events.push('flushed');
  }

  write(xml: string): boolean {
    return this.port.write('client', Buffer.from(xml));
  }
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

async function open(listeners: string[] = ['http://127.0.0.1:0/bosh'], answers = true) {
  const sessions: Recorder[] = [];
  const running = await openMiddlebox({
    flags: { listeners },
    session: (port, start) => {
      const session = new Recorder(port, start, answers);
      sessions.push(session);
      return session;
    },
  });
  const [port = 0] = running.middlebox.urls.map((url) => Number(new URL(url).port));
  const post = (body: string | Buffer, headers: Record<string, string> = {}, options: RequestOptions = {}) =>
    new Promise<Answer>((resolve, reject) => {
      const sent = httpRequest(
        { host: '127.0.0.1', port, path: '/bosh', method: 'POST', headers, ...options },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            const all = Buffer.concat(chunks);
            const plain = response.headers['content-encoding'] === 'gzip' ? gunzipSync(all) : all;
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: plain.toString() });
          });
        },
      );
      sent.on('error', reject);
      onClose(() => sent.destroy());
      sent.end(body);
    });
  /** A session whose first request has rid 100. */
  const begin = async (attributes = "ver='1.6'", headers: Record<string, string> = {}) => {
    const answer = await post(
      `<body ${NS} rid='100' to='a.test' wait='60' hold='1' ${attributes}/>`,
      headers,
    );
    const sid = / sid='([^']+)'/.exec(answer.body)?.[1] ?? '';
    const session = sessions.at(-1)!;
    const ask = (rid: number, payload = '', attributes = '', headers: Record<string, string> = {}) =>
      post(`<body ${NS} rid='${rid}' sid='${sid}' ${attributes}>${payload}</body>`, headers);
    return { answer, sid, session, ask };
  };
  return { ...running, port, sessions, post, begin };
}

describe('a session over BOSH', () => {
  it('is one leg, made of requests', async () => {
    const { begin } = await open();
    const { answer, sid, session, ask } = await begin();
    expect(answer.headers['content-type']).toBe('text/xml; charset=utf-8');
    expect(sid).toMatch(/^[\w-]{32}$/);
    expect(answer.body).toContain(
      "authid='s1' xmpp:version='1.0' xmlns:stream='http://etherx.jabber.org/streams'><stream:features xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/></stream:features></body>",
    );
    const held = ask(101, "<message xmlns='jabber:client'/>");
    await until(() => session.read.endsWith("<message xmlns='jabber:client'/>"));
    session.write("<presence/><r xmlns='urn:xmpp:sm:3'/>");
    expect((await held).body).toBe(
      `<body ${NS}><presence xmlns='jabber:client'/><r xmlns='urn:xmpp:sm:3'/></body>`,
    );
  });

  it('COMPAT: stanzas without a namespace of their own are stanzas, whatever the wrapper says', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    void ask(
      101,
      "\n <message to='b'><body>x</body></message>\n<p:iq xmlns:p='jabber:client' id='1'/> ",
    ).catch(() => {});
    await until(() => session.read.includes('<iq'));
    expect(session.read).toContain("<message to='b'><body>x</body></message><iq");
  });

  it('what a stanza uses of the wrapper’s prefixes it takes along', async () => {
    const { post, begin } = await open();
    const { session, sid } = await begin();
    void post(`<body ${NS} xmlns:x='urn:x' rid='101' sid='${sid}'><message><x:y/></message></body>`).catch(
      () => {},
    );
    await until(() => session.read.includes('<message'));
    expect(session.read).toContain("<message xmlns:x='urn:x'><x:y/></message>");
  });

  it('a pause reaches the session, and so does its end', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    expect((await ask(101, '', "pause='60'")).body).toBe(`<body ${NS}/>`);
    expect(session.events).toEqual(['paused']);
    session.write('<presence/>');
    expect((await ask(102)).body).toContain('<presence');
    expect(session.events).toEqual(['paused', 'back']);
  });

  it('silence is a loss', async () => {
    const { begin, advance, middlebox } = await open();
    const { session } = await begin();
    advance(29_000);
    expect(session.events).toEqual([]);
    advance(2_000);
    expect(session.events).toEqual(['lost client reset']);
    expect(middlebox.sessionCount).toBe(0);
  });

  it('a client that does not ask is waited for, within bounds', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    const large = `<message>${'x'.repeat(100_000)}</message>`;
    expect(session.write(large)).toBe(true);
    session.port.whenFlushed('client');
    expect([session.write(large), session.write(large)]).toEqual([true, false]);
    expect(session.port.unsent('client')).toBeGreaterThan(300_000);
    expect(session.events).toEqual([]);
    expect((await ask(101)).body.length).toBeGreaterThan(300_000);
    await until(() => session.events.includes('drained') && session.events.includes('flushed'));
    expect(session.port.unsent('client')).toBe(0);
  });

  it('a session that does not read fills the window, and no more', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    session.port.pauseReading('client');
    const { length } = session.read;
    const first = ask(101, '<a/>');
    void ask(102, '<b/>').catch(() => {});
    session.write('<presence/>');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(session.read.length).toBe(length);
    session.port.resumeReading('client');
    await first;
    await until(() => session.read.endsWith('<a/><b/>'));
  });

  it('nothing is kept of a request that has been answered, for as long as the session lives', async () => {
    const { begin } = await open();
    const responses: WeakRef<object>[] = [];
    const note = (message: unknown) =>
      responses.push(new WeakRef((message as { response: object }).response));
    subscribe('http.server.request.start', note);
    onClose(() => unsubscribe('http.server.request.start', note));
    const { ask, session } = await begin();
    const held = ask(101, '<a/>');
    await until(() => session.read.endsWith('<a/>'));
    void ask(102, '<b/>').catch(() => {});
    await held;
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    await until(() => {
      collect();
      return responses[0]?.deref() === undefined;
    });
    expect(responses).toHaveLength(3);
  });

  const ERROR = (condition: string) =>
    `<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`;

  it.each([
    // What the server says is said as it was, whatever BOSH would call that itself (XEP-0124 §17.2).
    ...['conflict', 'host-unknown', 'improper-addressing', 'remote-connection-failed', 'system-shutdown'].map(
      (condition) => [condition, undefined] as const,
    ),
    // So is what this side says in the language of streams, where BOSH has no word for it.
    ...(['conflict', 'policy-violation', 'not-authorized'] as const).map((own) => [own, own] as const),
  ])(
    'XEP-0206 §2: an error of the stream is a remote-stream-error, and comes last: %s',
    async (condition, own) => {
      const { begin } = await open();
      const { session, ask } = await begin();
      const held = ask(101);
      session.write(`<presence/>${ERROR(condition)}</stream:stream>`);
      session.port.end('client', own);
      const { body } = await held;
      expect(body).toMatch(/^<body [^>]*xmlns:stream='http:\/\/etherx.jabber.org\/streams'[^>]*>/);
      expect(body).toMatch(
        /^<body [^>]*type='terminate' condition='remote-stream-error'><presence [^>]*\/><stream:error [^>]*><[^>]*\/><\/stream:error><\/body>$/,
      );
      expect(body).toContain(`<${condition} `);
      expect((await ask(102)).body).toContain("condition='item-not-found'");
    },
  );

  it('XEP-0206 §2: it does not go out before the end that it is the reason of', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    const held = ask(101);
    session.write('<presence/>');
    expect((await held).body).not.toContain('terminate');
    const last = ask(102);
    session.write(ERROR('reset'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    session.write('</stream:stream>');
    session.port.end('client');
    expect((await last).body).toMatch(/^<body [^>]*condition='remote-stream-error'><stream:error /);
  });

  it.each([
    ['host-unknown', 'host-unknown'],
    ['improper-addressing', 'improper-addressing'],
    ['remote-connection-failed', 'remote-connection-failed'],
    // While the process stays, it is the server that has gone.
    ['system-shutdown', 'remote-connection-failed'],
  ] as const)('XEP-0124 §17.2: an end of our own is said by BOSH’s own word alone: %s', async (own, word) => {
    const { begin } = await open();
    const { session, ask } = await begin();
    const held = ask(101);
    session.write(`<presence/>${ERROR(own)}</stream:stream>`);
    session.port.end('client', own);
    expect((await held).body).toMatch(
      new RegExp(`^<body [^>]*type='terminate' condition='${word}'><presence [^>]*/></body>$`),
    );
  });

  it('the last words wait for whoever asks more seldom than a socket takes to send them', async () => {
    const { begin, advance, middlebox } = await open();
    const { session, ask } = await begin();
    session.port.authenticated();
    const end = () => {
      session.write(`${ERROR('conflict')}</stream:stream>`);
      session.port.end('client');
      session.port.finished(summaryOf('over'));
    };
    expect((await ask(101, '', "pause='60'")).body).toBe(`<body ${NS}/>`);
    end();
    for (let second = 0; second < 50; second += 1) advance(1_000);
    expect(middlebox.sessionCount).toBe(0);
    expect((await ask(102)).body).toMatch(/condition='remote-stream-error'><stream:error .*<conflict /);
    expect((await ask(103)).body).toContain("condition='item-not-found'");
  });

  it('when the process goes, who is between two requests and comes for the last words hears them', async () => {
    const { begin, middlebox } = await open();
    const { session, ask } = await begin();
    session.onShutdown = () => {
      session.write(`${ERROR('system-shutdown')}</stream:stream>`);
      session.port.end('client', 'system-shutdown');
      session.port.finished(summaryOf('over'));
    };
    const drained = middlebox.drain();
    expect((await ask(101)).body).toBe(`<body ${NS} type='terminate' condition='system-shutdown'/>`);
    await drained;
  });

  it.each([
    ['but not for ever', true, 29, 2],
    ['nor for strangers, of whom there may be any number', false, 4, 2],
  ])('%s', async (_what, known, waited, more) => {
    const { begin, advance } = await open();
    const end = async () => {
      const { session, ask } = await begin();
      if (known) session.port.authenticated();
      session.write('</stream:stream>');
      session.port.end('client');
      session.port.finished(summaryOf('over'));
      return ask;
    };
    const [inTime, late] = [await end(), await end()];
    for (let second = 0; second < waited; second += 1) advance(1_000);
    expect((await inTime(101)).body).toBe(`<body ${NS} type='terminate'/>`);
    for (let second = 0; second < more; second += 1) advance(1_000);
    expect((await late(101)).body).toContain("condition='item-not-found'");
  });

  it('XEP-0124 §13: an end without an error has no condition', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    const held = ask(101);
    session.write('</stream:stream>');
    session.port.end('client');
    expect((await held).body).toBe(`<body ${NS} type='terminate'/>`);
  });
});

describe('HTTP', () => {
  it('CORS: any page, or those that are listed', async () => {
    const { post, begin } = await open();
    expect((await begin()).answer.headers['access-control-allow-origin']).toBe('*');
    const preflight = await post('', { Origin: 'https://a.example' }, { method: 'OPTIONS' });
    expect(preflight).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-methods': 'POST, OPTIONS',
        'access-control-allow-headers': 'Content-Type',
      },
    });
    const strict = await open(['http://127.0.0.1:0/bosh?origin=https://a.example']);
    const { answer } = await strict.begin("ver='1.6'", {
      Origin: 'https://a.example',
      'Accept-Encoding': 'gzip',
    });
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      vary: 'Origin, Accept-Encoding',
    });
    for (const method of ['POST', 'OPTIONS'])
      expect((await strict.post('', { Origin: 'https://evil.example' }, { method })).status).toBe(403);
    expect(strict.sessions).toHaveLength(1);
  });

  it('answers are what the client wants them to be called, and run nowhere', async () => {
    const { begin } = await open();
    const { answer, ask } = await begin("ver='1.6' content='text/html; charset=utf-8'");
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': "default-src 'none'; sandbox",
      'x-content-type-options': 'nosniff',
    });
    expect((await ask(101, '', "pause='1'")).headers['content-type']).toBe('text/html; charset=utf-8');
    const other = await begin("ver='1.6' content='text/html&#13;&#10;X: y'");
    expect(other.answer.headers['content-type']).toBe('text/xml; charset=utf-8');
  });

  it('gzip, where the client takes it and it is worth it', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    session.write(`<message>${'x'.repeat(5_000)}</message>`);
    const answer = await ask(101, '', '', { 'Accept-Encoding': 'deflate, gzip;q=0.5' });
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(answer.body).toContain('x'.repeat(5_000));
    session.write(`<message>${'x'.repeat(5_000)}</message>`);
    expect(
      (await ask(102, '', '', { 'Accept-Encoding': 'gzip;q=0' })).headers['content-encoding'],
    ).toBeUndefined();
  });

  it('whoever takes nothing but gzip is sent nothing else, however small it is', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    session.write('<presence/>');
    const answer = await ask(101, '', '', { 'Accept-Encoding': 'gzip, identity;q=0' });
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(answer.body).toContain('<presence');
  });

  it('§14.2: answers go out in the order of their requests, whatever compressing one of them takes', async () => {
    const { begin } = await open();
    const { session, ask } = await begin("ver='1.6'");
    const order: number[] = [];
    const gzip = { 'Accept-Encoding': 'gzip' };
    const first = ask(101, '<a/>', '', gzip).then(() => order.push(101));
    await until(() => session.read.endsWith('<a/>'));
    const noise = Array.from({ length: 200_000 }, (_, n) => String.fromCharCode(97 + ((n * n * 7 + n) % 25)));
    session.write(`<message>${noise.join('')}</message>`);
    const second = ask(102, '<b/>', '', gzip).then(() => order.push(102));
    await until(() => session.read.endsWith('<b/>'));
    session.write('<presence/>');
    await Promise.all([first, second]);
    expect(order).toEqual([101, 102]);
  });

  it('clients of before version 1.6 are told by HTTP’s own codes', async () => {
    const { begin, post } = await open();
    expect((await post(`<body ${NS} to='a.test'/>`)).status).toBe(400);
    expect((await post(`<body ${NS} to='a.test' ver='1.6'/>`)).status).toBe(200);
    const { ask } = await begin('');
    expect((await ask(5_000)).status).toBe(404);
    const { ask: other } = await begin('');
    expect((await other(101, '', "pause='9999'")).status).toBe(403);
  });

  it.each([
    ['in one piece', 10_000],
    ['in two', 20],
  ])(
    'RFC 9110 §7.8: what a client offers to go over to is passed over, COMPAT Java: %s',
    async (_how, cut) => {
      const { port, sessions } = await open();
      const socket = await dial(port);
      let answers = '';
      socket.on('data', (chunk) => {
        answers += chunk.toString();
      });
      const ask = (body: string) =>
        `POST /bosh HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const first = ask(`<body ${NS} rid='1' to='a.test' ver='1.6'/>`);
      socket.write(first.slice(0, -cut) || first);
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (cut < first.length) socket.write(first.slice(-cut));
      await until(() => answers.includes('</body>'));
      const sid = / sid='([^']+)'/.exec(answers)?.[1] ?? '';
      answers = '';
      socket.write(ask(`<body ${NS} rid='2' sid='${sid}'><message/></body>`));
      await until(() => sessions[0]?.read.includes('<message/>') === true);
      sessions[0]?.write('<presence/>');
      await until(() => answers.includes('<presence'));
      expect(answers).toMatch(/^HTTP\/1\.1 200 OK/);
    },
  );

  it.each([
    ['another path', { path: '/other' }, 404],
    ['a look around', { method: 'GET' }, 200],
    ['one without a body', { method: 'HEAD' }, 200],
    ['one with a query', { method: 'GET', path: '/bosh?x=/other' }, 200],
    // RFC 9112 §3.2.2.
    ['one by the whole URL', { method: 'GET', path: 'http://a.test:8080/bosh?x' }, 200],
    ['one by the whole URL of another path', { method: 'GET', path: 'http://a.test/bosh/bosh' }, 404],
    ['one by a URL without a path', { method: 'GET', path: 'http://a.test' }, 404],
    ['one by no path at all', { method: 'OPTIONS', path: '*' }, 404],
    ['another method', { method: 'PUT' }, 405],
  ])('%s', async (_what, options, status) => {
    const { post } = await open();
    expect((await post('', {}, options)).status).toBe(status);
  });

  it('RFC 9110 §15.5.6: what is not allowed says what is; pages may read that too', async () => {
    const { post } = await open();
    expect(await post('', {}, { method: 'PUT' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD, OPTIONS, POST', 'access-control-allow-origin': '*' },
    });
    const strict = await open([
      'http://127.0.0.1:0/bosh?origin=https://a.example&tls=required&forwarded=192.0.2.1',
    ]);
    const headers = { Origin: 'https://a.example' };
    for (const method of ['POST', 'GET', 'DELETE'])
      expect((await strict.post('', headers, { method })).headers['access-control-allow-origin']).toBe(
        'https://a.example',
      );
    const evil = await strict.post('', { Origin: 'https://evil.example' });
    expect(evil.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('RFC 9112 §9.3: who speaks HTTP/1.0 has one answer for each connection, or more where it wants to', async () => {
    const { port } = await open();
    const body = `<body ${NS} rid='1' to='a.test' ver='1.6' wait='0'/>`;
    const socket = await dial(port);
    let answers = '';
    socket.on('data', (chunk) => {
      answers += chunk.toString();
    });
    const ask = (more: string) =>
      socket.write(`POST /bosh HTTP/1.0\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`);
    ask('Connection: keep-alive\r\n');
    await until(() => answers.endsWith('>'));
    expect(answers).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answers).toMatch(/\r\nConnection: keep-alive\r\n/i);
    expect(answers).not.toMatch(/transfer-encoding/i);
    ask('');
    await closed(socket);
    expect(answers.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
  });

  it('RFC 9110 §10.1.1: whoever waits to be told that it may go on is told', async () => {
    const { port } = await open();
    const body = `<body ${NS} rid='1' to='a.test' ver='1.6' wait='0'/>`;
    const socket = await dial(port);
    let answers = '';
    socket.on('data', (chunk) => {
      answers += chunk.toString();
    });
    socket.write(
      `POST /bosh HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    await until(() => answers.startsWith('HTTP/1.1 100 Continue'));
    socket.write(body);
    await until(() => answers.includes('sid='));
  });

  it('tls=required: by the word of the front end; a session stays on the secure way', async () => {
    const { post, begin } = await open(['http://127.0.0.1:0/bosh?tls=required&forwarded=127.0.0.1']);
    const secure = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '192.0.2.1' };
    const { session, sid } = await begin("ver='1.6'", secure);
    expect(session.start.directTls?.protocol).toBe('forwarded');
    expect(session.start.peer).toBe('192.0.2.1');
    expect((await post(`<body ${NS} rid='101' sid='${sid}'/>`, {})).status).toBe(403);
    const open2 = await open(['http://127.0.0.1:0/bosh?forwarded=127.0.0.1']);
    const other = await open2.begin("ver='1.6'", secure);
    await expect(other.ask(101)).rejects.toThrow('socket hang up');
    expect(other.session.events).toEqual([]);
  });

  it('XEP-0124 §17.2: whoever should have come over TLS is told where, if that is known', async () => {
    const { post, sessions } = await open([
      'http://127.0.0.1:0/bosh?tls=required&forwarded=192.0.2.1&public=chat.example.org:8443',
    ]);
    const answer = await post(`<body ${NS} rid='1' to='a.test' ver='1.6'/>`);
    expect(answer.status).toBe(200);
    expect(answer.body).toBe(
      `<body ${NS} type='terminate' condition='see-other-uri'><uri>https://chat.example.org:8443/bosh</uri></body>`,
    );
    expect(sessions).toEqual([]);
  });

  it('who is known has no place among strangers any more', async () => {
    const { begin, middlebox } = await open();
    const { session, ask } = await begin();
    expect(middlebox.admission.strangers).toBeGreaterThan(0);
    session.port.authenticated();
    await ask(101, '', "pause='5'");
    await until(() => middlebox.admission.strangers === 0);
  });
});

describe('what is refused', () => {
  const TERMINATED = (condition: string) => `type='terminate' condition='${condition}'`;
  it.each([
    ['nothing', ''],
    ['no XML', 'hello'],
    ['another element', '<presence/>'],
    ['a wrapper without its namespace', "<body rid='1' to='a.test'/>"],
    ['text in the wrapper', `<body ${NS} rid='1' to='a.test'>hello</body>`],
    ['two wrappers', `<body ${NS} rid='1' to='a.test'/><body ${NS} rid='2'/>`],
    ['half an element', `<body ${NS} rid='1' to='a.test'><message></body>`],
    ['a comment', `<body ${NS} rid='1' to='a.test'><!-- x --></body>`],
    ['a document type', `<!DOCTYPE body><body ${NS} rid='1' to='a.test'/>`],
    ['entities', `<!DOCTYPE b [<!ENTITY a 'x'>]><body ${NS} rid='1' to='&a;'/>`],
    [
      'the header of a stream',
      `<body ${NS} rid='1' to='a'><stream:stream xmlns:stream='http://etherx.jabber.org/streams'/></body>`,
    ],
    ['no rid', `<body ${NS} to='a.test'/>`],
    ['a rid that is none', `<body ${NS} rid='-1' to='a.test'/>`],
    ['a rid above 2^53', `<body ${NS} rid='9007199254740993' to='a.test'/>`],
  ])('%s', async (_what, body) => {
    const { post, sessions } = await open();
    expect((await post(body)).body).toContain(TERMINATED('bad-request'));
    expect(sessions).toEqual([]);
  });

  it('a session that is none', async () => {
    const { post } = await open();
    for (const sid of ['x', '', '../../etc', 'a'.repeat(5_000)])
      expect((await post(`<body ${NS} rid='1' sid='${sid}'/>`)).body).toContain(TERMINATED('item-not-found'));
  });

  it('a sid that was overheard is of no use without the rid, nor is what waits shown for it', async () => {
    const { begin, post } = await open();
    const { session, sid } = await begin();
    session.write('<message>secret</message>');
    const answer = await post(`<body ${NS} rid='1' sid='${sid}'><message>forged</message></body>`);
    expect(answer.body).toContain(TERMINATED('item-not-found'));
    expect(answer.body).not.toContain('secret');
    expect(session.read).not.toContain('forged');
    // The session is lost, which those who can resume it survive.
    expect(session.events).toEqual(['lost client reset']);
  });

  it('more bytes than a stranger may send, before they are all there', async () => {
    const { post, begin, metrics } = await open();
    const { session, sid } = await begin();
    const big = (n: number, rid: number, of = sid) =>
      `<body ${NS} rid='${rid}' sid='${of}'><message>${'x'.repeat(n)}</message></body>`;
    expect((await post(big(20_000, 101, 'nobody'))).body).toContain(TERMINATED('policy-violation'));
    session.port.authenticated();
    void post(big(200_000, 101)).catch(() => {});
    await until(() => session.read.length > 200_000);
    expect((await post(big(600_000, 102)).catch(() => ({ body: '' }))).body).not.toContain('<message');
    expect(session.read.length).toBeLessThan(300_000);
    expect(metrics).toBeDefined();
  });

  it.each([
    ['behind the first byte of it', 1],
    ['inside of its sid', 80],
  ])(
    'who is known may send what the known may, wherever the network cuts the request: %s',
    async (_what, cut) => {
      const { port, begin } = await open();
      const { session, sid } = await begin();
      session.port.authenticated();
      const body = `<body ${NS} rid='101' sid='${sid}'><message>${'x'.repeat(20_000)}</message></body>`;
      const socket = await dial(port);
      socket.setNoDelay(true);
      socket.write(
        `POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, cut)}`,
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      socket.write(body.slice(cut));
      await until(() => session.read.includes('<message>'));
    },
  );

  it('what cannot be read ends the session that it says to belong to: nobody goes on there, and what is written would be lost', async () => {
    const { begin } = await open();
    const { session, ask } = await begin();
    const held = ask(101);
    expect((await ask(102, '<message>&unknown;</message>')).body).toContain(TERMINATED('bad-request'));
    expect((await held).body).toContain(TERMINATED('other-request'));
    expect(session.events).toEqual(['lost client reset']);
  });

  it('nor does a session outlive a request that is too large, or has no rid', async () => {
    const { begin, post } = await open();
    const { session, ask } = await begin();
    expect((await ask(101, `<message>${'x'.repeat(20_000)}</message>`)).body).toContain(
      TERMINATED('policy-violation'),
    );
    expect(session.events).toEqual(['lost client reset']);
    const { session: other, sid } = await begin();
    expect((await post(`<body ${NS} sid='${sid}'/>`)).body).toContain(TERMINATED('bad-request'));
    expect(other.events).toEqual(['lost client reset']);
  });

  it('what is compressed: it may be anything', async () => {
    const { post, sessions } = await open();
    const bomb = gzipSync(`<body ${NS} rid='1' to='a.test'>${' '.repeat(10_000_000)}</body>`);
    // Whatever it is: its name alone is enough, for nothing is inflated to see.
    for (const encoding of ['gzip', 'deflate', 'br', 'gzip, identity'])
      for (const body of [bomb, `<body ${NS} rid='1' to='a.test'/>`])
        expect((await post(body, { 'Content-Encoding': encoding })).body).toContain(
          TERMINATED('bad-request'),
        );
    expect(sessions).toEqual([]);
    void post(`<body ${NS} rid='1' to='a.test'/>`, { 'Content-Encoding': 'identity' }).catch(() => {});
    await until(() => sessions.length === 1);
  });

  it('a slow request is cut off in time, and holds up nobody', async () => {
    const { port, begin, advance, middlebox } = await open();
    const slow = await dial(port);
    slow.write('POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n<body ');
    await until(() => middlebox.admission.strangers === 1);
    expect((await begin()).answer.status).toBe(200);
    for (let n = 0; n < 14; n += 1) {
      slow.write('x');
      advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(slow.destroyed).toBe(false);
    advance(2_000);
    await closed(slow);
  });

  it('nor has a slow request more time because one before it is answered meanwhile', async () => {
    const { port, begin, advance } = await open();
    const { session, sid } = await begin();
    const slow = await dial(port);
    const body = `<body ${NS} rid='101' sid='${sid}'><a/></body>`;
    slow.write(`POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await until(() => session.read.endsWith('<a/>'));
    slow.write('POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n<body ');
    await new Promise((resolve) => setTimeout(resolve, 20));
    session.write('<presence/>');
    let answer = '';
    slow.on('data', (chunk) => {
      answer += chunk.toString();
    });
    await until(() => answer.includes('<presence'));
    const gone = closed(slow);
    for (let second = 0; second < 16; second += 1) {
      advance(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await gone;
  });

  it.each([
    ['once', ''],
    ['and asks on', "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='a.test'/>"],
  ])('who asks and does not read is cut off in time: %s', async (_what, another) => {
    const { port, begin, advance, metrics, sessions } = await open();
    const { session, sid } = await begin();
    const socket = await dial(port);
    socket.pause();
    const body = `<body ${NS} rid='101' sid='${sid}'><a/></body>`;
    socket.write(`POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await until(() => session.read.endsWith('<a/>'));
    session.write(`<message>${'x'.repeat(15_000_000)}</message>`);
    await until(() => session.port.unsent('client') === 0);
    if (another !== '')
      socket.write(`POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: ${another.length}\r\n\r\n${another}`);
    await until(() => another === '' || sessions.length === 2);
    const cutOff = async () => (await metrics.registry(() => 0).metrics()).includes('request-timeout');
    for (let second = 0; second < 25; second += 1) advance(1_000);
    expect(await cutOff()).toBe(false);
    for (let second = 0; second < 100; second += 1) advance(1_000);
    await closed(socket);
    expect(socket.bytesRead).toBeLessThan(15_000_000);
  });

  it('a request in thousands of pieces', async () => {
    const { port } = await open();
    const socket = await dial(port);
    socket.write('POST /bosh HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    socket.write('1\r\n<\r\n'.repeat(6_000));
    await closed(socket);
  });

  it('many requests on one connection, none of which waits for the one before', async () => {
    const { port } = await open(['http://127.0.0.1:0/bosh'], false);
    const socket = await dial(port);
    const body = `<body ${NS} rid='1' to='a.test' wait='60' hold='1'/>`;
    const request = `POST /bosh HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    socket.write(request.repeat(100));
    await closed(socket);
  });

  it('too many strangers from one address', async () => {
    const { begin, middlebox, sessions } = await open(['http://127.0.0.1:0/bosh?forwarded=127.0.0.1']);
    middlebox.admission.limits = { unauthenticatedConnections: 100, unauthenticatedPerAddress: 2 };
    const from = { 'X-Forwarded-For': '192.0.2.1' };
    await begin("ver='1.6'", from);
    await begin("ver='1.6'", from);
    await expect(begin("ver='1.6'", from)).rejects.toThrow();
    expect(sessions).toHaveLength(2);
  });
});
