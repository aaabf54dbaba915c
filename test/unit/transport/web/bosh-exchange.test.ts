import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BoshSettings } from '../../../../src/transport/web/bosh/agreement.js';
import { type BoshRequest, NO_PAYLOAD } from '../../../../src/transport/web/bosh/body.js';
import { BoshExchange, type ExchangePort } from '../../../../src/transport/web/bosh/exchange.js';

const SETTINGS: BoshSettings = {
  wait: 60,
  hold: 2,
  inactivity: 30,
  pollingInactivity: 75,
  polling: 5,
  maxPause: 120,
  answerBytes: 1_000,
};

type Said = Partial<Omit<BoshRequest, 'payload'>> & { readonly payload?: string };

function requestOf(rid: number | undefined, { payload, ...said }: Said): BoshRequest {
  return {
    sid: 'sid',
    key: undefined,
    newKey: undefined,
    pause: undefined,
    ack: undefined,
    terminate: false,
    stream: { to: 'example.org', version: '1.0' },
    restart: false,
    wait: undefined,
    hold: undefined,
    version: undefined,
    content: undefined,
    payload: payload === undefined ? NO_PAYLOAD : Buffer.from(payload),
    ...said,
    rid,
  };
}

/** A session in a play: what the client asks and the session writes goes in; what is delivered and answered comes out, and is expected. */
class Play implements ExchangePort<string> {
  now = 1_000_000;
  wakesAt = Number.POSITIVE_INFINITY;
  readonly exchange: BoshExchange<string>;
  #happened: string[] = [];

  constructor(first: Said = {}, settings: Partial<BoshSettings> = {}) {
    const request = requestOf(100, { version: '1.11', sid: undefined, ...first });
    this.exchange = new BoshExchange(this, { ...SETTINGS, ...settings }, request, 'sid', '100', this.now);
    this.exchange.begin(request, this.now);
  }

  /** One that has been answered, and is held by nothing. */
  static begun(first: Said = {}, settings: Partial<BoshSettings> = {}): Play {
    const play = new Play(first, settings);
    // Who polls has had his answer at once.
    if (first.hold !== 0 && first.wait !== 0) play.write('<features/>');
    play.#happened = [];
    return play.after(10);
  }

  deliver(bytes: Buffer): void {
    this.#happened.push(`deliver ${bytes}`);
  }

  answer(handle: string, body: Buffer, condition: string | undefined): void {
    const text = body.toString().replace(" xmlns='http://jabber.org/protocol/httpbind'", '');
    this.#happened.push(`${handle}: ${text}${condition === undefined ? '' : ` (${condition})`}`);
  }

  paused(paused: boolean): void {
    this.#happened.push(paused ? 'paused' : 'back');
  }

  over(how: string): void {
    this.#happened.push(`over: ${how}`);
  }

  wakeAt(time: number): void {
    this.wakesAt = time;
  }

  /** @param name of the connection it comes on, where one rid comes more than once */
  ask(rid: number | undefined, said: Said = {}, name = `${rid}`): this {
    this.exchange.request(requestOf(rid, said), name, this.now);
    return this;
  }

  write(...elements: string[]): this {
    for (const element of elements) this.exchange.write([Buffer.from(element)]);
    this.exchange.flush(this.now);
    return this;
  }

  after(seconds: number): this {
    const end = this.now + seconds * 1000;
    while (this.wakesAt <= end) {
      this.now = Math.max(this.now, this.wakesAt);
      this.wakesAt = Number.POSITIVE_INFINITY;
      this.exchange.wake(this.now);
    }
    this.now = end;
    return this;
  }

  lose(name: string): this {
    this.exchange.gone(name, this.now);
    return this;
  }

  expect(...happened: (string | RegExp)[]): this {
    const expected = happened.map((one) => (one instanceof RegExp ? expect.stringMatching(one) : one));
    expect(this.#happened).toEqual(expected);
    this.#happened = [];
    return this;
  }

  take(): string[] {
    const happened = this.#happened;
    this.#happened = [];
    return happened;
  }
}

const TERMINATED = (condition: string) => `<body type='terminate' condition='${condition}'/>`;

describe('§7: how a session begins', () => {
  it('answers when there are features, with what was agreed on', () => {
    const play = new Play({ wait: 90, hold: 5, ack: 1 });
    play.expect(
      "deliver <?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>",
    );
    play.exchange.header({ from: 'example.org', id: 's1', version: '1.0' });
    play.write('<features/>');
    play.expect(
      "100: <body xmlns:xmpp='urn:xmpp:xbosh' sid='sid' wait='60' requests='6' hold='2' polling='5' inactivity='30' maxpause='120' ver='1.11' ack='100' xmpp:restartlogic='true' from='example.org' authid='s1' xmpp:version='1.0'><features/></body>",
    );
  });

  it('answers within the wait all the same; the features come later', () => {
    const play = new Play({ wait: 10, hold: 1 });
    play.take();
    play
      .after(9)
      .expect()
      .after(1)
      .expect(/^100: <body .*wait='10' requests='2' hold='1'.*\/>$/);
    play.exchange.header({ from: 'example.org', id: 's1', version: '1.0' });
    play
      .ask(101)
      .write('<features/>')
      .expect(
        "101: <body xmlns:xmpp='urn:xmpp:xbosh' from='example.org' authid='s1' xmpp:version='1.0'><features/></body>",
      );
  });

  it.each([
    ['1.6', '1.6'],
    ['1.20', '1.11'],
    ['2.0', '1.11'],
    ['nonsense', '1.11'],
  ])('the lower version of both: %s', (asked, told) => {
    expect(new Play({ version: asked }).write('<f/>').take().at(-1)).toContain(` ver='${told}'`);
  });

  it.each([
    [{ hold: 1 }, 1, 2],
    [{}, 1, 2],
    [{ hold: 2 }, 2, 3],
    // "This value must be larger than the 'hold' attribute value specified in the session request."
    [{ hold: 4 }, 2, 5],
    [{ hold: 5 }, 2, 6],
    [{ hold: 255 }, 2, 6],
    [{ hold: 0 }, 0, 1],
    [{ wait: 0 }, 0, 1],
    [{ wait: 0, hold: 1 }, 0, 2],
  ])('§7.2: there may be more requests than are held: %o', (wanted, hold, requests) => {
    const answer = new Play(wanted).write('<f/>').take().at(-1);
    expect(answer).toContain(` requests='${requests}' hold='${hold}' `);
  });

  it('what comes along with the first request is delivered behind the header', () => {
    new Play({ payload: '<auth/>' }).expect(/^deliver .*<stream:stream/, 'deliver <auth/>');
  });
});

describe('§8: requests are held until there is something to say', () => {
  it('for as long as the client lets them', () => {
    Play.begun({ wait: 20 })
      .ask(101, { payload: '<a/>' })
      .expect('deliver <a/>')
      .after(19)
      .expect()
      .after(1)
      .expect('101: <body/>');
  });

  it('no more of them than is agreed on: the oldest is answered when another one comes', () => {
    Play.begun({ hold: 1 })
      .ask(101)
      .after(6)
      .ask(102, { payload: '<a/>' })
      .expect('deliver <a/>', '101: <body/>')
      .write('<b/>', '<c/>')
      .expect('102: <body><b/><c/></body>')
      .ask(103)
      .expect();
  });

  it('§16.3: who asks for another stream is answered as if he had asked for nothing', () => {
    Play.begun({ hold: 1 })
      .ask(101, { stream: { to: 'other.example', lang: 'en' } })
      .expect()
      .write('<a/>')
      .expect('101: <body><a/></body>');
  });

  it('what is written while nobody asks waits', () => {
    Play.begun().write('<a/>', '<b/>').expect().ask(101).expect('101: <body><a/><b/></body>');
  });

  it('an answer is not added to for ever, and no element is torn', () => {
    const play = Play.begun();
    for (const at of [1, 2, 3])
      play.exchange.write(
        [`<m${at}`, " xmlns='x'", `>${'x'.repeat(600)}</m${at}>`].map((text) => Buffer.from(text)),
      );
    play.ask(101);
    const [answer = ''] = play.take();
    expect(answer).toMatch(/^101: <body><m1 .*<\/m1><m2 .*<\/m2><\/body>$/);
    play.ask(102).expect(/^102: <body><m3 .*<\/m3><\/body>$/);
  });
});

describe('§14: request ids', () => {
  it('requests are taken in their order, however they come', () => {
    Play.begun({ hold: 2 })
      .ask(102, { payload: '<b/>' })
      .ask(103, { payload: '<c/>' })
      .expect()
      .ask(101, { payload: '<a/>' })
      .expect('deliver <a/>', 'deliver <b/>', 'deliver <c/>', '101: <body/>');
  });

  it('one that came before its turn has waited since it came, and those before it are answered before it', () => {
    Play.begun({ hold: 2, wait: 20 })
      .ask(102, { payload: '<b/>' })
      .after(10)
      .ask(101, { payload: '<a/>' })
      .expect('deliver <a/>', 'deliver <b/>')
      .after(9)
      .expect()
      .after(1)
      .expect('101: <body/>', '102: <body/>');
  });

  it('nor is it too soon when what was sent before it comes late', () => {
    Play.begun({ hold: 1 })
      .ask(102)
      .after(6)
      .ask(101, { payload: '<a/>' })
      .expect('deliver <a/>', '101: <body/>');
  });

  it('sent again before its turn, the latter waits and the former is answered', () => {
    Play.begun({ hold: 2 })
      .ask(102, { payload: '<b/>' })
      .ask(102, { payload: '<b/>' }, 'again')
      .expect("102: <body type='error'/>")
      .ask(101, { payload: '<a/>' })
      .write('<c/>', '<d/>')
      .expect('deliver <a/>', 'deliver <b/>', '101: <body><c/><d/></body>')
      .write('<e/>')
      .expect('again: <body><e/></body>');
  });

  it.each([
    ['beyond the window', 104],
    ['far beyond it', 5_000_000],
    ['of long ago', 3],
  ])('one %s ends the session, and learns nothing', (_what, rid) => {
    Play.begun({ hold: 2 })
      .write('<secret/>')
      .ask(rid, { payload: '<forged/>' })
      .expect(`${rid}: ${TERMINATED('item-not-found')} (item-not-found)`, 'over: lost')
      .ask(101)
      .expect(`101: ${TERMINATED('item-not-found')} (item-not-found)`);
  });

  it('the others that are open are told that it was another one', () => {
    Play.begun({ hold: 1 })
      .ask(101, { payload: '<a/>' })
      .ask(200)
      .expect(
        'deliver <a/>',
        `200: ${TERMINATED('item-not-found')} (item-not-found)`,
        `101: ${TERMINATED('other-request')} (other-request)`,
        'over: lost',
      );
  });

  it('without one it is no request', () => {
    Play.begun()
      .ask(undefined)
      .expect(/bad-request/, 'over: lost');
  });

  it('§14.3: the answer to a request that comes again is the one it had', () => {
    Play.begun()
      .ask(101, { payload: '<a/>' })
      .write('<b/>')
      .expect('deliver <a/>', '101: <body><b/></body>')
      .ask(101, { payload: '<a/>' }, 'again')
      .expect('again: <body><b/></body>')
      .ask(101, { payload: '<a/>' }, 'once more')
      .expect('once more: <body><b/></body>');
  });

  it('§14.3: as many answers are kept as there can be requests, and no more', () => {
    const play = Play.begun({ hold: 1 });
    for (const rid of [101, 102, 103]) play.ask(rid).write(`<n${rid}/>`);
    play.take();
    play.ask(102, {}, 'again').expect('again: <body><n102/></body>');
    play.ask(101, {}, 'lost').expect(/^lost: .*item-not-found/, 'over: lost');
  });

  it('§14.3: answers to requests for a pause are kept besides', () => {
    const play = Play.begun({ hold: 1 }).ask(101).write('<n101/>');
    play.ask(102).write('<n102/>').ask(103, { pause: 10 }).ask(104, { pause: 10 }).take();
    play.ask(101, {}, 'again').expect('again: <body><n101/></body>');
    play.ask(104, {}, 'again').expect('again: <body/>');
    play.ask(105).write('<n105/>').take();
    play.ask(104, {}, 'again').expect('again: <body/>');
    play.ask(101, {}, 'lost').expect(/^lost: .*item-not-found/, 'over: lost');
  });

  it('§14.3: but of pauses that follow each other the last one only', () => {
    const play = Play.begun({ hold: 1 });
    for (const rid of [101, 102, 103]) play.ask(rid, { pause: 10 });
    play.take();
    play.ask(103, {}, 'again').expect('again: <body/>');
    play.ask(102, {}, 'lost').expect(/^lost: .*item-not-found/, 'over: lost');
  });

  it('§9.2: what the client has acknowledged is not kept', () => {
    const play = Play.begun({ ack: 1, hold: 1 });
    play.ask(101).write('<a/>').take();
    play.ask(102, { ack: 101 }).expect();
    play.ask(101, {}, 'again').expect(/^again: .*item-not-found/, /^102: .*other-request/, 'over: lost');
  });

  it('§9.1: the client is told which requests have come', () => {
    Play.begun({ ack: 1, hold: 1 })
      .ask(101)
      .after(6)
      .ask(102, { payload: '<a/>' })
      .expect('deliver <a/>', "101: <body ack='102'/>")
      .write('<b/>')
      .expect('102: <body><b/></body>');
  });

  it('§14.3: asked again while it is held, the former is answered and the latter is held', () => {
    Play.begun()
      .ask(101, { payload: '<a/>' })
      .ask(101, { payload: '<a/>' }, 'again')
      .expect('deliver <a/>', "101: <body type='error'/>")
      .write('<b/>')
      .expect('again: <body><b/></body>');
  });

  it('§14.3: not for ever', () => {
    const play = Play.begun().ask(101);
    for (let n = 1; n <= 10; n += 1) play.ask(101, {}, `again ${n}`);
    play.take();
    play
      .ask(101, {}, 'too often')
      .expect(/^too often: .*policy-violation/, /^again 10: .*other-request/, 'over: lost');
  });

  it('§14.3: nor is one that has been answered said again for ever', () => {
    const play = Play.begun().ask(101).write('<a/>');
    for (let n = 1; n <= 10; n += 1) play.ask(101, {}, `again ${n}`);
    expect(play.take()).toHaveLength(11);
    play.ask(101, {}, 'too often').expect(/^too often: .*policy-violation/, 'over: lost');
  });

  it('an answer does not go to a connection that is gone, but to whoever asks for it again', () => {
    Play.begun()
      .ask(101)
      .lose('101')
      .write('<a/>')
      .expect()
      .ask(101, {}, 'again')
      .expect('again: <body><a/></body>');
  });

  it('nor is it lost when the client goes on without asking again', () => {
    Play.begun({ hold: 1 })
      .ask(101)
      .lose('101')
      .ask(102, { payload: '<b/>' })
      .write('<a/>')
      .expect('deliver <b/>', '102: <body><a/></body>');
  });
});

describe('§14.3: a connection that is gone holds nothing up', () => {
  it('what there is to say goes to the next one that waits', () => {
    Play.begun({ hold: 2 })
      .ask(101, { payload: '<a/>' })
      .ask(102, { payload: '<b/>' })
      .lose('101')
      .write('<c/>')
      .expect('deliver <a/>', 'deliver <b/>', '102: <body><c/></body>')
      .ask(101, { payload: '<a/>' }, 'again')
      .expect('again: <body/>');
  });

  it('nor is the next one held for longer than the client wants', () => {
    Play.begun({ hold: 2, wait: 20 })
      .ask(101, { payload: '<a/>' })
      .ask(102, { payload: '<b/>' })
      .lose('101')
      .after(20)
      .expect('deliver <a/>', 'deliver <b/>', '102: <body/>');
  });
});

describe('§10: silence', () => {
  it('a client of which nothing is held is given up in time', () => {
    Play.begun().after(19).expect().after(1).expect('over: lost');
  });

  it('so is one whose connections are all gone', () => {
    Play.begun().ask(101).lose('101').after(29).expect().after(1).expect('over: lost');
  });

  it('a request that waits for one before it that never comes ends it', () => {
    Play.begun({ hold: 2 })
      .ask(102)
      .after(30)
      .expect(`102: ${TERMINATED('item-not-found')} (item-not-found)`, 'over: lost');
  });

  it('a pause is granted: all is answered at once, without a payload, and the silence may last', () => {
    Play.begun({ hold: 1 })
      .ask(101)
      .after(6)
      .ask(102, { pause: 100 })
      .expect('101: <body/>', '102: <body/>', 'paused')
      .write('<a/>')
      .after(99)
      .expect()
      .ask(103)
      .expect('back', '103: <body><a/></body>')
      .after(30)
      .expect('over: lost');
  });

  it('a pause ends too', () => {
    Play.begun().ask(101, { pause: 100 }).expect('101: <body/>', 'paused').after(100).expect('over: lost');
  });

  it('§11: one request more than is allowed, when it is for a pause', () => {
    Play.begun({ hold: 1 })
      .ask(102, { payload: '<b/>' })
      .ask(103, { pause: 10 })
      .ask(101, { payload: '<a/>' })
      .expect('deliver <a/>', 'deliver <b/>', '101: <body/>', '102: <body/>', '103: <body/>', 'paused');
  });

  it('a pause longer than is allowed is a violation', () => {
    Play.begun()
      .ask(101, { pause: 121 })
      .expect(/^101: .*policy-violation/, 'over: lost');
  });
});

describe('§11, §12: too much', () => {
  it('two requests without a payload at once, none being answered', () => {
    Play.begun({ hold: 1 })
      .ask(101)
      .ask(102)
      .expect(/^102: .*policy-violation/, /^101: .*other-request/, 'over: lost');
  });

  it('polling faster than is allowed, when the last answer had nothing', () => {
    Play.begun({ hold: 0 })
      .ask(101)
      .expect('101: <body/>')
      .after(4)
      .ask(102)
      .expect(/^102: .*policy-violation/, 'over: lost');
  });

  it('polling is in order when there is time between, a payload, or there was an answer', () => {
    Play.begun({ wait: 0 })
      .ask(101)
      .expect('101: <body/>')
      .after(5)
      .ask(102)
      .expect('102: <body/>')
      .ask(103, { payload: '<a/>' })
      .expect('deliver <a/>', '103: <body/>')
      .write('<b/>')
      .ask(104)
      .expect('104: <body><b/></body>')
      .ask(105)
      .expect('105: <body/>');
  });

  it('whoever polls may be silent for longer', () => {
    Play.begun({ hold: 0 }).after(64).expect().after(1).expect('over: lost');
  });
});

describe('§13, §17: the end', () => {
  it('by the client: what it says last is delivered, and the oldest request is told', () => {
    Play.begun({ hold: 1 })
      .ask(101)
      .after(6)
      .ask(102, { terminate: true, payload: "<presence type='unavailable'/>" })
      .expect(
        "deliver <presence type='unavailable'/>",
        'deliver </stream:stream>',
        "101: <body type='terminate'/>",
        '102: <body/>',
        'over: ended',
      );
  });

  it('by the client, before anything else', () => {
    new Play({ terminate: true, payload: '<presence/>' }).expect(
      ...[/^deliver .*<stream:stream/, 'deliver <presence/>', 'deliver </stream:stream>'],
      /^100: <body .* sid='sid'.* type='terminate'\/>$/,
      'over: ended',
    );
  });

  it('by the session, while a request is held', () => {
    const play = Play.begun().ask(101);
    play.exchange.write([Buffer.from('<stream:error/>')]);
    play.exchange.end('remote-stream-error');
    play.exchange.flush(play.now);
    play.expect(
      "101: <body type='terminate' condition='remote-stream-error'><stream:error/></body>",
      'over: ended',
    );
  });

  it('by the session, while nobody asks: whoever asks next is told', () => {
    const play = Play.begun();
    play.exchange.end(undefined);
    play.exchange.flush(play.now);
    play.expect().ask(101).expect("101: <body type='terminate'/>", 'over: ended');
  });

  it('given up: whoever waits is told to come again', () => {
    const play = Play.begun({ hold: 2 }).ask(101).ask(103);
    play.exchange.destroy('remote-connection-failed');
    play.expect(
      `101: ${TERMINATED('remote-connection-failed')}`,
      `103: ${TERMINATED('remote-connection-failed')}`,
    );
    expect(play.wakesAt).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('§15: key sequences', () => {
  const hash = (text: string) => createHash('sha1').update(text).digest('hex');
  const chain = (seed: string, n: number) => {
    const keys = [hash(seed)];
    while (keys.length < n) keys.push(hash(keys.at(-1) ?? ''));
    return keys.reverse();
  };

  it('each request proves that it comes from who sent the first; the case of the digits means nothing', () => {
    const [first = '', second = '', third = ''] = chain('seed', 3);
    const other = chain('another seed', 5);
    Play.begun({ newKey: first.toUpperCase() })
      .ask(101, { key: second })
      .write('<a/>')
      .expect('101: <body><a/></body>')
      .ask(102, { key: third, newKey: other[0]! })
      .write('<b/>')
      .expect('102: <body><b/></body>')
      .ask(103, { key: other[1]! })
      .write('<c/>')
      .expect('103: <body><c/></body>');
  });

  it.each([
    ['without a key', undefined],
    ['with a key of its own', hash('mine')],
  ])('a forged request %s ends the session and is not delivered', (_what, key) => {
    const [first = ''] = chain('seed', 3);
    Play.begun({ newKey: first })
      .ask(101, { key, payload: '<forged/>' })
      .expect(`101: ${TERMINATED('item-not-found')} (item-not-found)`, 'over: lost');
  });

  it('an answer is not shown again to whoever has no key for it', () => {
    const [first = '', second = ''] = chain('seed', 3);
    Play.begun({ newKey: first })
      .ask(101, { key: second })
      .write('<secret/>')
      .expect('101: <body><secret/></body>')
      .ask(101, {}, 'thief')
      .expect(`thief: ${TERMINATED('item-not-found')} (item-not-found)`, 'over: lost');
  });
});

describe('a session that does not read', () => {
  it('is not delivered to; answers go on, and the window is full soon', () => {
    const play = Play.begun({ hold: 1 }).ask(101, { payload: '<a/>' });
    play.exchange.block(true, play.now);
    play.ask(102, { payload: '<b/>' }).write('<x/>').expect('deliver <a/>', '101: <body><x/></body>');
    play.exchange.block(false, play.now);
    play.expect('deliver <b/>');
  });
});

describe('XEP-0206 §5: restart', () => {
  it('is a new header, and nothing else in it counts', () => {
    Play.begun()
      .ask(101, { restart: true, payload: '<ignored/>' })
      .expect(/^deliver <\?xml.*<stream:stream [^>]*>$/);
  });

  it('says what the first request has said, where it does not say it itself', () => {
    Play.begun({ stream: { to: 'example.org', lang: 'de', version: '1.0' } })
      .ask(101, { restart: true, stream: { version: '1.0' } })
      .expect(/^deliver .* to='example.org' version='1.0' xml:lang='de'>$/)
      .write('<features/>')
      .ask(102, { restart: true, stream: { to: 'example.org', from: 'a@example.org', lang: 'fr' } })
      .expect(
        '101: <body><features/></body>',
        /^deliver .* to='example.org' from='a@example.org' xml:lang='fr'>$/,
      );
  });
});

describe('whatever happens', () => {
  it('each element is delivered once and in order, each request answered once, and answers are in the order of requests', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('ask' as const), skip: fc.nat(1), payload: fc.boolean() }),
      fc.record({ do: fc.constant('again' as const), back: fc.nat(1) }),
      fc.record({ do: fc.constant('write' as const) }),
      fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(20) }),
      fc.record({ do: fc.constant('lose' as const), back: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const play = Play.begun({ hold: 2, version: '1.11' }, { polling: 0 });
        const sent = new Set<number>();
        const delivered: string[] = [];
        const got = new Map<number, string>();
        const asked = new Map<string, number>();
        const answered = new Set<string>();
        let next = 101;
        let hole: number | undefined;
        let name = 0;
        let written = 0;
        let over = false;
        const look = () => {
          for (const line of play.take()) {
            if (line.startsWith('deliver ')) delivered.push(line.slice(8));
            else if (line.startsWith('over')) over = true;
            else if (!line.includes("type='error'")) {
              const [handle = '', body = ''] = line.split(': ');
              expect(answered.has(handle)).toBe(false);
              answered.add(handle);
              const rid = asked.get(handle) ?? 0;
              if (!over && !body.includes('terminate')) {
                const before = got.get(rid);
                if (before !== undefined) expect(body).toBe(before);
                got.set(rid, body);
              }
            } else answered.add(line.split(': ')[0] ?? '');
          }
        };
        const ask = (rid: number, payload: boolean) => {
          name += 1;
          asked.set(`n${name}`, rid);
          sent.add(rid);
          play.ask(rid, { payload: payload ? `<m${rid}/>` : undefined } as Said, `n${name}`);
          look();
        };
        for (const one of steps) {
          if (over) break;
          if (one.do === 'write') {
            written += 1;
            play.write(`<w${written}/>`);
          } else if (one.do === 'wait') play.after(one.seconds);
          else if (one.do === 'lose') play.lose(`n${name - one.back}`);
          else if (one.do === 'again') {
            const rid = next - 1 - one.back;
            if (sent.has(rid)) ask(rid, true);
          } else if (hole !== undefined) {
            ask(hole, true);
            hole = undefined;
          } else if (one.skip === 1) {
            hole = next;
            ask(next + 1, true);
            next += 2;
          } else {
            ask(next, one.payload);
            next += 1;
          }
          look();
        }
        const numbers = delivered.map((xml) => Number(/\d+/.exec(xml)?.[0]));
        expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
        const shown = [...got].sort(([a], [b]) => a - b).flatMap(([, body]) => body.match(/<w\d+\/>/g) ?? []);
        expect(shown).toEqual(Array.from({ length: shown.length }, (_, at) => `<w${at + 1}/>`));
      }),
      { numRuns: 300 },
    );
  });
});
