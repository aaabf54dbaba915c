import { describe, expect, it } from 'vitest';
import { NS } from '../../../../src/xml/namespaces.js';
import { FakeDomain } from '../playbook.js';
import {
  ACCOUNT,
  chat,
  disable,
  enable,
  enabled,
  event,
  FULL,
  HANDLED,
  iq,
  laterStage,
  options,
  published,
  RESULT,
  SECRET,
  SERVER,
  SERVICE,
  type Stage,
  stage,
} from './stage.js';

const refusal = (condition: string, text: string, type = 'modify') =>
  `<iq type='error' id='p1' to='${FULL}'><error type='${type}'><${condition} xmlns='${NS.stanzaErrors}'/>` +
  `<text xmlns='${NS.stanzaErrors}' xml:lang='en'>${text}</text></error></iq>`;

describe('discovering support (XEP-0357 §4)', () => {
  const amended = (book: Stage, entity: 'account' | 'server' | 'other', from: string, node?: string) =>
    book.disco({ from, node, entity, features: new Set() });

  it('the account and its server have the feature, and nobody else', () => {
    const book = stage();
    expect(amended(book, 'account', ACCOUNT)).toEqual({ add: [NS.push] });
    expect(amended(book, 'server', SERVER)).toEqual({ add: [NS.push] });
    expect(amended(book, 'other', 'chats.capulet.lit')).toBeUndefined();
    expect(amended(book, 'account', ACCOUNT, 'http://jabber.org/protocol/commands')).toBeUndefined();
    book.end();
  });

  it.each([
    ['server', { server: [NS.push] }],
    ['account', { account: [NS.push] }],
  ])('nothing is played when the %s has it itself', (_, scene) => {
    const book = stage(scene);
    expect(amended(book, 'account', ACCOUNT)).toBeUndefined();
    book.fromClient(enable()).fromClient(disable()).end();
  });
});

describe('enabling (XEP-0357 §5)', () => {
  it('is answered when it is on disk, and outlives the process', () => {
    const domain = new FakeDomain(SERVER);
    enabled(stage({ domain })).end();
    const next = new FakeDomain(SERVER);
    for (const [key, value] of domain.store) next.store.set(key, value);
    stage({ domain: next })
      .legDown('client')
      .waits(chat('x'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, '')
      .end();
  });

  it('is refused when it cannot be stored', () => {
    stage({ storeFails: true })
      .fromClient(enable())
      .expectVerdict(HANDLED)
      .expectSent('client', refusal('internal-server-error', 'This could not be stored', 'wait'))
      .end();
  });

  it('waits until it is known what the server has', () => {
    const domain = new FakeDomain(SERVER);
    const info = (...names: string[]) =>
      `<query xmlns='${NS.discoInfo}'>${names.map((name) => `<feature var='${name}'/>`).join('')}</query>`;
    const items = `<query xmlns='${NS.discoItems}'/>`;
    for (const native of [false, true]) {
      const book = laterStage({ domain: native ? new FakeDomain(SERVER) : domain });
      book
        .expectRequest(SERVER, info())
        .expectRequest(ACCOUNT, info())
        .fromClient(enable())
        .expectVerdict(HANDLED)
        .answerIq(SERVER, native ? info(NS.push) : info())
        .expectRequest(SERVER, items)
        .answerIq(ACCOUNT, info())
        .answerIq(SERVER, items);
      if (native) book.expectSent('server', enable());
      else book.expectSent('client', RESULT);
      book.end();
    }
  });

  it.each([
    [
      'without jid',
      `<enable xmlns='${NS.push}'/>`,
      'bad-request',
      'The push service has to be named by its jid',
    ],
    [
      'with a jid that is none',
      `<enable xmlns='${NS.push}' jid='@'/>`,
      'jid-malformed',
      'The jid of the push service is none',
    ],
    [
      'with too long a node',
      `<enable xmlns='${NS.push}' jid='p' node='${'n'.repeat(1_025)}'/>`,
      'not-acceptable',
      'The name of the node is too long',
    ],
    [
      'with too much to send along',
      `<enable xmlns='${NS.push}' jid='p'>${options(`<field var='a'><value>${'v'.repeat(5_000)}</value></field>`)}</enable>`,
      'not-acceptable',
      'The publish options are too many',
    ],
    [
      'of something else',
      `<subscribe xmlns='${NS.push}' jid='p'/>`,
      'bad-request',
      'Either &lt;enable/&gt; or &lt;disable/&gt; is expected',
    ],
  ])('%s is refused', (_, payload, condition, text) => {
    stage()
      .fromClient(iq(payload))
      .expectVerdict(HANDLED)
      .expectSent(
        'client',
        refusal(condition, text)
          .replace(/&lt;/gu, '<')
          .replace(/&gt;/gu, '>')
          .replace(/<(enable|disable)\/>/gu, '&lt;$1/&gt;'),
      )
      .end();
  });

  it('another account gets nothing of it', () => {
    const book = stage();
    enabled(book);
    book.legDown('client').waits(chat('x'), 'nurse@capulet.lit').wake(0).end();
  });

  it('a node more than an account may have takes the place of the oldest', () => {
    const book = stage({ settings: { perAccount: 2 } });
    for (const node of ['n1', 'n2', 'n3']) enabled(book, node).wake(1);
    book
      .legDown('client')
      .waits(chat('x'))
      .wake(0)
      .expectRequest(SERVICE, published(1, 'n2'))
      .expectRequest(SERVICE, published(1, 'n3'))
      .answerIq(SERVICE, '')
      .answerIq(SERVICE, '')
      .end();
  });
});

describe('disabling (XEP-0357 §6)', () => {
  const told = (book: Stage, ...nodes: string[]) => {
    book.legDown('client').waits(chat('x')).wake(0);
    for (const node of nodes) book.expectRequest(SERVICE, published(1, node));
    for (const _ of nodes) book.answerIq(SERVICE, '');
    book.end();
  };
  const twoNodes = () => enabled(enabled(stage(), 'n1').wake(1), 'n2');

  it('one node, or all of a service', () => {
    told(twoNodes().fromClient(disable('n1')).expectVerdict(HANDLED).expectSent('client', RESULT), 'n2');
    told(twoNodes().fromClient(disable()).expectVerdict(HANDLED).expectSent('client', RESULT));
  });

  it('what is not enabled is no error', () => {
    told(
      twoNodes().fromClient(disable('n9')).expectVerdict(HANDLED).expectSent('client', RESULT),
      'n1',
      'n2',
    );
  });
});

describe('publishing (XEP-0357 §7)', () => {
  const absent = (book: Stage) => book.legDown('client');

  it('a message that waits is told with the count alone, and with what the client has left for it', () => {
    const along = `<publish-options><x xmlns='${NS.dataForms}' type='submit'><field var='FORM_TYPE' type='hidden'><value>${NS.pubsub}#publish-options</value></field>${SECRET}</x></publish-options>`;
    absent(enabled(stage(), 'n1', options(SECRET)))
      .waits(event('hello'))
      .wake(0)
      .expectRequest(SERVICE, published(1, 'n1', along))
      .answerIq(SERVICE, '')
      .end();
  });

  it('says who and what only where the configuration says so', () => {
    const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
    const who = field('last-message-sender', 'party@chats.capulet.lit/romeo');
    const what = field('last-message-body', 'hello');
    for (const [settings, more] of [
      [{ sender: true }, who],
      [{ sender: true, body: true }, who + what],
    ] as const)
      absent(enabled(stage({ settings })))
        .waits(event('hello'))
        .wake(0)
        .expectRequest(SERVICE, published(1, 'n1', '', more))
        .answerIq(SERVICE, '')
        .end();
  });

  it('nothing is told while the client is there', () => {
    enabled(stage()).waits(chat('x')).wake(60_000).end();
  });

  it.each([
    ['chat state', `<message type='chat' from='r@m.lit/o'><composing xmlns='${NS.chatStates}'/></message>`],
    ['error', chat('x').replace("type='chat'", "type='error'")],
    ['own message', chat('x', `${ACCOUNT}/chamber`)],
    ['presence', `<presence from='r@m.lit/o'/>`],
    ['event without a message', event('x').replace(/<body>.*<\/body>/u, '<subject>s</subject>')],
  ])('%s is nothing to be told', (_, stanza) => {
    absent(enabled(stage())).waits(stanza).wake(60_000).end();
  });

  it.each([
    ['encrypted message', `<message type='chat' from='r@m.lit/o'><encrypted xmlns='${NS.omemo}'/></message>`],
    ['invitation', `<message from='p@m.lit'><x xmlns='${NS.mucUser}'><invite from='r@m.lit'/></x></message>`],
    [
      'copy of a message',
      `<message from='${ACCOUNT}' to='${FULL}'><received xmlns='${NS.carbons2}'><forwarded xmlns='${NS.forward0}'>${chat('x').replace('<message', `<message xmlns='${NS.client}'`)}</forwarded></received></message>`,
    ],
  ])('%s is told', (_, stanza) => {
    absent(enabled(stage()))
      .waits(stanza)
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, '')
      .end();
  });

  it('a node is told no more often than the interval allows, and then how many there are', () => {
    const book = absent(enabled(stage({ settings: { interval: 30 } })));
    book.waits(chat('1')).wake(0).expectRequest(SERVICE, published(1)).answerIq(SERVICE, '');
    for (let i = 2; i <= 9; i++) book.waits(chat(String(i))).wake(1_000);
    book.wake(22_000).expectRequest(SERVICE, published(9)).answerIq(SERVICE, '');
    // Nothing more waits.
    book.wake(120_000).end();
  });

  it('all accounts together are told so many a second', () => {
    const domain = new FakeDomain(SERVER);
    const settings = { perSecond: 2, interval: 1 };
    const book = stage({ domain, settings });
    for (const node of ['n1', 'n2', 'n3']) enabled(book, node).wake(1);
    absent(book)
      .waits(chat('x'))
      .wake(0)
      .expectRequest(SERVICE, published(1, 'n1'))
      .expectRequest(SERVICE, published(1, 'n2'))
      .wake(999);
    book.wake(1).expectRequest(SERVICE, published(1, 'n3'));
    for (let i = 0; i < 3; i++) book.answerIq(SERVICE, '');
    book.end();
  });

  it('a client that is back is told nothing any more, and the count begins anew', () => {
    const book = absent(enabled(stage()));
    book.waits(chat('1')).wake(0).expectRequest(SERVICE, published(1)).answerIq(SERVICE, '');
    book.waits(chat('2')).legUp('client').wake(60_000);
    book
      .legDown('client')
      .waits(chat('3'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, '');
    book.end();
  });
});

describe('which devices are told', () => {
  /** Two devices of the account with a node each, the second of which is lost. */
  const twoDevices = () => {
    const domain = new FakeDomain(SERVER);
    const first = enabled(stage({ domain }), 'n1');
    const second = laterStage({ domain, jid: `${ACCOUNT}/phone` });
    second
      .fromClient(enable('n2'))
      .expectVerdict(HANDLED)
      .expectSent('client', RESULT.replace('balcony', 'phone'))
      .legDown('client')
      .wake(1);
    return { first, second, domain };
  };

  it('while another client of the account is there, the device that may come back', () => {
    const { first, second } = twoDevices();
    second.waits(chat('x')).wake(0).expectRequest(SERVICE, published(1, 'n2')).answerIq(SERVICE, '').end();
    first.end();
  });

  it('when none is there, all', () => {
    const { first, second } = twoDevices();
    first.legDown('client');
    second
      .waits(chat('x'))
      .wake(0)
      .expectRequest(SERVICE, published(1, 'n1'))
      .expectRequest(SERVICE, published(1, 'n2'))
      .answerIq(SERVICE, '')
      .answerIq(SERVICE, '')
      .end();
    first.end();
  });

  it('when the client is gone for good, none of them while another is there', () => {
    const { first, second } = twoDevices();
    expect(second.goes()).toBe(false);
    second.waits(chat('x')).wake(60_000).end();
    first.end();
  });

  it('a client that comes takes what was kept by a session whose client has gone', () => {
    const { first, second, domain } = twoDevices();
    first.legDown('client');
    second.goes();
    second.waits(chat('x'));
    const third = laterStage({ domain, jid: `${ACCOUNT}/tablet` });
    second.wake(60_000).end();
    first.end();
    third.end();
  });
});

describe('errors of the push service (XEP-0357 §7.1)', () => {
  const failing = (condition: string) =>
    enabled(stage({ settings: { interval: 30 } }))
      .legDown('client')
      .waits(chat('1'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, condition === 'timeout' ? 'timeout' : { error: condition });

  it.each([
    'item-not-found',
    'gone',
    'not-allowed',
    'forbidden',
    'not-authorized',
    'bad-request',
    'feature-not-implemented',
  ])('%s: the node is gone', (condition) => {
    const domain = new FakeDomain(SERVER);
    enabled(stage({ domain }))
      .legDown('client')
      .waits(chat('1'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, { error: condition })
      .waits(chat('2'))
      .wake(3_600_000)
      .end();
    expect([...domain.store.keys()].filter((key) => key.startsWith('push'))).toEqual([]);
  });

  it.each(['remote-server-timeout', 'internal-server-error', 'resource-constraint', 'timeout'])(
    '%s: it is told again later, and later each time',
    (condition) => {
      failing(condition)
        .waits(chat('2'))
        .wake(59_999)
        .wake(1)
        .expectRequest(SERVICE, published(2))
        .answerIq(SERVICE, { error: 'internal-server-error' })
        .waits(chat('3'))
        .wake(119_999)
        .wake(1)
        .expectRequest(SERVICE, published(3))
        .answerIq(SERVICE, '')
        .waits(chat('4'))
        .wake(120_000)
        .expectRequest(SERVICE, published(4))
        .answerIq(SERVICE, '')
        .end();
    },
  );

  it('sixteen in a row are the end of it', () => {
    const book = enabled(stage()).legDown('client');
    for (let i = 1; i <= 16; i++)
      book.waits(chat('x')).wake(3_600_000).expectRequest(SERVICE, published(i)).answerIq(SERVICE, 'timeout');
    book.waits(chat('x')).wake(3_600_000).end();
  });

  it('a lost server leg says nothing about the node', () => {
    enabled(stage())
      .legDown('client')
      .waits(chat('1'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, 'leg-lost')
      .waits(chat('2'))
      .wake(30_000)
      .expectRequest(SERVICE, published(2))
      .answerIq(SERVICE, '')
      .end();
  });

  it('a node that was enabled anew is not disabled by an answer to what was sent before', () => {
    const domain = new FakeDomain(SERVER);
    const book = enabled(stage({ domain }));
    book.legDown('client').waits(chat('1')).wake(0).expectRequest(SERVICE, published(1)).legUp('client');
    enabled(book).answerIq(SERVICE, { error: 'item-not-found' });
    book.legDown('client').waits(chat('2')).wake(60_000).expectRequest(SERVICE, published(1));
    book.answerIq(SERVICE, '').end();
  });
});

describe('remote disabling (XEP-0357 §8)', () => {
  const removed = (from: string, jid = ACCOUNT, affiliation = 'none') =>
    `<message from='${from}' to='${ACCOUNT}'><pubsub xmlns='${NS.pubsub}' node='n1'><affiliation jid='${jid}' affiliation='${affiliation}'/></pubsub></message>`;

  it('the push service takes back the right to publish', () => {
    enabled(stage()).fromServer(removed(SERVICE)).legDown('client').waits(chat('x')).wake(60_000).end();
  });

  it.each([
    ['somebody else', removed('evil.example')],
    ['about somebody else', removed(SERVICE, 'nurse@capulet.lit')],
    ['about another right', removed(SERVICE, ACCOUNT, 'publish-only')],
  ])('not by %s', (_, message) => {
    enabled(stage())
      .fromServer(message)
      .legDown('client')
      .waits(chat('x'))
      .wake(0)
      .expectRequest(SERVICE, published(1))
      .answerIq(SERVICE, '')
      .end();
  });
});
