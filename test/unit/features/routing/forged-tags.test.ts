import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { routing } from '../../../../src/features/routing/routing.js';
import type { Feature, FeatureContext, KnowledgeKey } from '../../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../../src/session/pipeline.js';
import { Frame } from '../../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { parseStanza } from '../../../../src/xml/tokenizer.js';
import { parseElement } from '../../../../src/xml/tree.js';
import { FakeDomain } from '../playbook.js';
import { NO_COPY, ONE, PRIVATE, TWO, twoTo } from './scenes.js';

/*
 * Everything in a message can be made up by its sender. Whatever it is, he gets no further with it than he would with other words: the reader's client
 * gets the message or does not get it, and is told of no other sender than the true one; at most one error goes to him who has written; and nobody
 * but him and the account that he has written to hears anything.
 */

const JULIET = 'juliet@capulet.lit';
const BALCONY = `${JULIET}/balcony`;
const MALLORY = 'mallory@elsewhere.lit/x';
const VICTIM = 'romeo@capulet.lit/orchard';

const table = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([routing])]);
const pipeline = new Pipeline([routing], table);

const wrapper = (direction: string) =>
  `<${direction} xmlns='${NS.carbons2}'><forwarded xmlns='${NS.forward0}'>` +
  `<message xmlns='jabber:client' from='${VICTIM}' to='${JULIET}'><body>forged</body></message></forwarded></${direction}>`;

const tag = fc.constantFrom(
  ...[ONE, TWO, PRIVATE, NO_COPY, `<im-ng xmlns='${NS.imNg}'/>`, '<body>hi</body>', wrapper('received')],
  ...[wrapper('sent'), `<result xmlns='${NS.mam2}' id='1'/>`, `<x xmlns='${NS.mucUser}'/>`],
  ...[JULIET, BALCONY, `${JULIET}/gone`, VICTIM, MALLORY, '', 'no jid @@', 'capulet.lit'].map(twoTo),
  ...[
    `<p:xmpp-2 xmlns:p='${NS.xmpp2}' to='${VICTIM}'/>`,
    `<xmpp-2 xmlns='${NS.xmpp2}'><body>x</body></xmpp-2>`,
  ],
);

interface Heard {
  readonly toClient: string[];
  readonly toServer: string[];
  readonly told: [account: string, notice: string][];
}

/** What comes of a message at a session whose client wants messages, and perhaps knows the sender. */
function receive(xml: string, serverKind: 'prosody' | 'jabberd2', isKnown: boolean): Heard {
  const heard: Heard = { toClient: [], toServer: [], told: [] };
  const domain = new FakeDomain();
  const identity = {
    ...{ full: BALCONY, bare: JULIET, local: 'juliet', domain: 'capulet.lit', resource: 'balcony' },
  };
  domain.enter(identity);
  const romeo = { full: VICTIM, bare: 'romeo@capulet.lit', local: 'romeo', domain: 'capulet.lit' };
  domain.enter({ ...romeo, resource: 'orchard' });
  const contextFor = (opened: Feature, session: PipelineSession): FeatureContext =>
    ({
      ...{ identity, serverKind, enabledAtStart: new Set([NS.carbons2]), domain, now: 0, namespaces: table },
      send: (leg: 'client' | 'server', sent: string | Buffer) =>
        heard[leg === 'client' ? 'toClient' : 'toServer'].push(String(sent)),
      tell: (account: string, notice: string) => heard.told.push([account, notice]),
      ...{ request: () => {}, wakeAt: () => {}, count: () => {}, wallClock: () => 0, randomId: () => '1' },
      ...{ sendAsClient: () => {}, sendAsServer: () => {}, sendAhead: () => {}, attend: () => {} },
      settings: (schema: { parse(value: unknown): unknown }) => schema.parse({}),
      store: { write: () => {}, load: () => {} },
      know: <T>(key: KnowledgeKey<T>): T =>
        session.know(pipeline.features[pipeline.features.indexOf(opened)]!, key),
    }) as unknown as FeatureContext;
  const session = new PipelineSession(pipeline, identity, contextFor);
  const handle = (direction: 'to-server' | 'to-client', stanza: string) => {
    const frame = parseStanza(Buffer.from(stanza), table);
    if (!(frame instanceof Frame)) throw new Error(frame.reason);
    return session.handle(direction, frame, 0);
  };
  handle('to-server', '<presence/>');
  if (isKnown) handle('to-server', `<message to='${MALLORY}'><body>hi</body></message>`);
  const outcome = handle('to-client', xml);
  if (outcome.kind === 'pass') heard.toClient.push(xml);
  else if (outcome.kind === 'changed') heard.toClient.push(outcome.bytes.toString());
  return heard;
}

test('property: forged tags: nobody but who writes and whom he writes to hears anything, and nobody seems to have said what he has not', () => {
  let refused = 0;
  let passed = 0;
  fc.assert(
    fc.property(
      fc.array(tag, { maxLength: 6 }),
      fc.constantFrom(JULIET, BALCONY, `${JULIET}/gone`),
      fc.constantFrom(
        '',
        "type='chat'",
        "type='normal'",
        "type='headline'",
        "type='groupchat'",
        "type='error'",
      ),
      fc.constantFrom('prosody' as const, 'jabberd2' as const),
      fc.boolean(),
      (tags, to, type, serverKind, isKnown) => {
        const xml = `<message from='${MALLORY}' to='${to}' id='m1' ${type}>${tags.join('')}</message>`;
        const { toClient, toServer, told } = receive(xml, serverKind, isKnown);
        expect(toClient.length).toBeLessThanOrEqual(1);
        for (const each of toClient) {
          const message = parseElement(Buffer.from(each));
          expect(message.attrs).toMatchObject({ from: MALLORY, to, id: 'm1' });
          for (const direction of ['received', 'sent'])
            expect(message.getChild(direction, NS.carbons2)).toBeUndefined();
          // One of the marks, and `<xmpp-1/>` by the proxy's word alone.
          const isTwo = message.getChild('xmpp-2', NS.xmpp2) !== undefined;
          expect(message.getChildren('xmpp-1', NS.xmpp2).length).toBe(isTwo ? 0 : 1);
        }
        // The one error, and not to anybody else; it gives nothing back of what was said.
        expect(toServer.length).toBeLessThanOrEqual(isKnown && toClient.length === 0 ? 1 : 0);
        for (const each of toServer) {
          const { xmlns, ...attributes } = parseElement(Buffer.from(each)).attrs;
          expect(attributes, xmlns).toEqual({ type: 'error', id: 'm1', to: MALLORY });
        }
        for (const [account, notice] of told) {
          expect(account).toBe(JULIET);
          const { kind, xml: copy } = JSON.parse(notice) as { kind: string; xml: string };
          expect(kind).toBe('copy');
          expect(parseElement(Buffer.from(copy)).attrs.from).toBe(MALLORY);
        }
        refused += toServer.length;
        passed += toClient.length;
      },
    ),
    { numRuns: 2_000 },
  );
  // Or nothing would have been tried.
  expect(refused).toBeGreaterThan(20);
  expect(passed).toBeGreaterThan(500);
});
