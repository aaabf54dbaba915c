import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Heard, HeardMessages } from '../../../../src/features/mucsub/heard.js';
import { Frame } from '../../../../src/xml/frame.js';
import { Likeness, likenessHash } from '../../../../src/xml/likeness.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../../../src/xml/serialize.js';
import { parseStanza } from '../../../../src/xml/tokenizer.js';
import type { FakeDomain } from '../playbook.js';
import {
  ACCOUNT,
  ALLOWED,
  asks,
  domain,
  FULL,
  lateStage,
  NODE,
  ROOM,
  type Stage,
  SUBJECT,
  SWALLOWED,
  said,
  self,
  stage,
  subscribe,
  subscribed,
} from './stage.js';

const ROMEO = 'romeo@capulet.lit';
const STANZA_ID = (id: string) => `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${id}'/>`;
const namespaces = new NamespaceTable(Object.values(NS));
const read = (xml: string) => {
  const frame = parseStanza(Buffer.from(xml), namespaces);
  if (!(frame instanceof Frame)) throw new Error(frame.reason);
  return frame.detach();
};
const taken = (messages: HeardMessages, frame: Frame) =>
  messages.find(frame) ?? messages.note(frame, new Heard(frame, ROOM, false, false));
/** The same for Romeo's session. */
const to = (xml: string) => xml.replaceAll(FULL, `${ROMEO}/orchard`);

function subscribedToo(shared: FakeDomain): Stage {
  return lateStage(shared, `${ROMEO}/orchard`)
    .fromClient('<presence/>')
    .fromClient(subscribe('romeo', ['messages']))
    .expectVerdict('handled mucsub-answered')
    .expectSent('server', asks('romeo'))
    .fromServer(to(self('romeo')))
    .expectVerdict(SWALLOWED)
    .expectSent(
      'client',
      `<iq type='result' id='s1' from='${ROOM}' to='${ROMEO}/orchard'><subscribe xmlns='${NS.mucsub}' nick='romeo'><event node='${NODE}messages'/></subscribe></iq>`,
    )
    .expectTold(ROMEO, JSON.stringify({ op: 'subscribed', room: ROOM }))
    .fromServer(to(SUBJECT))
    .expectVerdict(SWALLOWED);
}

/** Two subscribers to one room. @param service features of the MUC service */
function two(service: readonly string[] = [NS.mam2]): [Stage, Stage] {
  const shared = domain();
  const juliet = subscribed(stage({ settings: ALLOWED, domain: shared, service }).fromClient('<presence/>'));
  return [juliet, subscribedToo(shared)];
}

const message = (account: string, id: string, body: string, rest: string) =>
  `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${account}' id='${id}'><body>${body}</body>${rest}` +
  `<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='${rest.match(/ id='([^']+)'\/>$/)?.[1]}'/></message>`;
const eventFor = (account: string, item: string, inner: string) =>
  `<message from='${ROOM}' to='${account}' id='${item}'><event xmlns='${NS.pubsubEvent}'>` +
  `<items node='${NODE}messages'><item id='${item}'>${inner}</item></items></event></message>`;

describe('what a room says to several subscribers', () => {
  it('is to each an event addressed to him alone, also where it speaks of the other, and the next one is another event', () => {
    const [juliet, romeo] = two();
    for (const [id, body] of [
      ['a1', `ask ${ACCOUNT} or ${FULL}`],
      ['a2', `ask ${ROMEO}`],
    ] as const) {
      const heard = said('olga', body, `m-${id}`, STANZA_ID(id));
      const expected = (account: string, text: string) =>
        eventFor(account, id, message(account, `m-${id}`, text, STANZA_ID(id)));
      juliet.fromServer(heard).expectVerdict('changed mucsub-event', expected(ACCOUNT, body));
      const other = heard.replace(`to='${FULL}'`, `to='${ROMEO}/orchard'`);
      romeo.fromServer(other).expectVerdict('changed mucsub-event', expected(ROMEO, body));
    }
    juliet.end();
    romeo.end();
  });

  it('twice in the same words, without an archive, is two events, the same two for all', () => {
    const [juliet, romeo] = two([]);
    const words = `<message type='groupchat' from='${ROOM}/olga' to='${FULL}'><body>yes</body></message>`;
    const expected = (account: string, id: string) =>
      eventFor(
        account,
        id,
        `<message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${account}'><body>yes</body>` +
          `${STANZA_ID(id)}<archived xmlns='urn:xmpp:mam:tmp' by='${ROOM}' id='${id}'/></message>`,
      );
    juliet.fromServer(words).expectVerdict('changed mucsub-event', expected(ACCOUNT, 'id-1'));
    juliet.fromServer(words).expectVerdict('changed mucsub-event', expected(ACCOUNT, 'id-3'));
    romeo.fromServer(to(words)).expectVerdict('changed mucsub-event', expected(ROMEO, 'id-1'));
    romeo.fromServer(to(words)).expectVerdict('changed mucsub-event', expected(ROMEO, 'id-3'));
    juliet.end();
    romeo.end();
  });
});

describe('copies of a stanza', () => {
  const stanza = (address: string, id: string, body: string) =>
    `<message from='${ROOM}/olga' to='${escapeAttribute(address)}' id='${escapeAttribute(id)}'><body>${escapeText(body)}</body></message>`;
  const text = fc.string({ unit: 'grapheme', minLength: 1 });

  it('property: are those that are the same but for whom they are addressed to', () => {
    fc.assert(
      fc.property(text, text, text, text, text, text, (address, other, id, otherId, body, otherBody) => {
        const one = read(stanza(address, id, body));
        const likeness = new Likeness(one);
        const copy = read(stanza(other, id, body));
        expect([likeness.isOf(copy), likenessHash(copy)]).toEqual([true, likenessHash(one)]);
        const different = id !== otherId || body !== otherBody;
        expect(likeness.isOf(read(stanza(other, otherId, otherBody)))).toBe(!different);
      }),
    );
  });

  it('what is the same in its length and its end is told apart', () => {
    const end = 'x'.repeat(200);
    const messages = new HeardMessages();
    const of = (body: string) => taken(messages, read(stanza('a', 'i', body + end)));
    const [one, other] = [of('1'), of('2')];
    expect(one).not.toBe(other);
    expect(of('2')).toBe(other);
  });

  it('of the latest 512 messages and 2 MB it is known what they are', () => {
    const messages = new HeardMessages();
    const of = (n: number, size = 0) => taken(messages, read(stanza('a', `m${n}`, 'x'.repeat(size))));
    const first = of(0);
    for (let n = 1; n < 512; n++) of(n);
    expect(of(0)).toBe(first);
    of(512);
    expect(of(0)).not.toBe(first);
    const large = of(1_000, 500_000);
    of(1_001, 500_000);
    expect(of(1_000, 500_000)).toBe(large);
    of(1_002, 500_000);
    expect(of(1_000, 500_000)).not.toBe(large);
  });
});
