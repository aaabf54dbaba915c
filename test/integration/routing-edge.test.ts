import type { Element } from 'ltx';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RawClient, uniqueId } from './clients/raw.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, type Route, THROUGH_THE_PROXY } from './routes.js';
import { MARK, MIXTURES, type Mixture, Scene } from './routing/scene.js';
import { column, expected } from './routing/table.js';

const CARBONS = 'urn:xmpp:carbons:2';
const HINTS = 'urn:xmpp:hints';
const IM_NG = 'urn:xmpp:im-ng:0';

/** Everything in a message that the rules of routing put there, by name; a name twice is there twice. */
function marksOf(message: Element): string[] {
  const ours: readonly unknown[] = [MARK, CARBONS, HINTS];
  return message
    .getChildElements()
    .filter((child) => ours.includes(child.getNS()))
    .map((child) => child.getName())
    .sort();
}

function messages(client: RawClient, id: string): Element[] {
  return client.stream.inbox.filter((each) => each.is('message') && each.toString().includes(id));
}

/*
 * Legacy client – edge – core – server: what the core puts into messages for servers of 1.0 the edge meets on its way in, and the other way
 * round; carbons are wished for by both, and each is the other's client or server.
 */
describeRoutes(
  'two proxies in a row',
  (route) => {
    const { server } = route;
    const proxies: RunningProxy[] = [];
    /** By the edge and the core; by the core alone; without a proxy. */
    let far: Route;
    let near: Route;
    const straight: Route = {
      ...route,
      via: 'direct',
      plain: { host: server.host, port: server.port, domain: server.domain },
    };

    beforeAll(async () => {
      const core = await RunningProxy.inFrontOf(server);
      proxies.push(core);
      const { host, port } = core.address(0);
      const edge = await RunningProxy.start({ domain: server.domain, upstream: `xmpp://${host}:${port}` });
      proxies.push(edge);
      near = { ...route, plain: { host, port, domain: server.domain } };
      far = { ...route, plain: { ...edge.address(0), domain: server.domain } };
    });

    afterAll(async () => {
      await Promise.all(proxies.splice(0).map((proxy) => proxy.dispose()));
    });

    const mixtures = Object.keys(MIXTURES) as Mixture[];

    test.each(mixtures)('everybody gets what he gets with one, once; carbons: %s', async (mixture) => {
      const scene = await Scene.open(far, far, mixture);
      const form = (outcome: Record<string, string> = {}) =>
        Object.fromEntries(
          Object.entries(outcome).map(([cell, got]) => [
            cell,
            // Where the server makes no carbons the core and the edge both see to copies, and the first counts: in one form or the other.
            server.has.carbons ? got : got.replaceAll('(copy)', ''),
          ]),
        );
      expect(form(await scene.play())).toEqual(form(expected()[column(server.kind, 'proxy', mixture)]));
    });

    test('12.7 nothing is put into a message twice, and the client sees nothing of what is between proxy and server', async () => {
      const account = await newAccount(server, 'reader');
      const readers = {
        far: await logIn(far, account, { resource: 'far' }),
        near: await logIn(near, account, { resource: 'near' }),
        straight: await logIn(straight, account, { resource: 'straight' }),
      };
      for (const reader of Object.values(readers)) await reader.becomeAvailable();
      const writer = await logIn(far, await newAccount(server, 'writer'), { resource: 'w' });
      await writer.becomeAvailable();
      for (const [name, reader] of Object.entries(readers)) {
        const id = uniqueId();
        // For one device: what comes out at the end of two proxies, of one, and of none.
        writer.send(`<message to='${reader.jid}' type='chat' id='${id}'><body>?OTR:AAMC</body></message>`);
        const alone = await reader.message(({ attrs }) => attrs.id === id);
        // COMPAT: Prosody takes `<private/>` out when it has seen to it (XEP-0280 §6).
        const modifiers = ['no-copy', 'no-store', ...(server.kind === 'prosody' ? [] : ['private'])];
        const left = name === 'straight' ? modifiers : ['no-store'];
        expect(marksOf(alone), name).toEqual([...left, 'xmpp-2']);
        const all = uniqueId();
        writer.send(`<message to='${reader.jid}' type='chat' id='${all}'><body>for all</body></message>`);
        const first = await reader.message(({ attrs }) => attrs.id === all);
        expect(marksOf(first), name).toEqual(['xmpp-2']);
        expect(first.getChild('xmpp-2', MARK)?.attrs.to).toBeUndefined();
      }
      // What comes in from a client of 1.0 is marked once.
      const outsider = await logIn(straight, await newAccount(server, 'outsider'), { resource: 'o' });
      const id = uniqueId();
      outsider.send(`<message to='${readers.far.jid}' type='chat' id='${id}'><body>hi</body></message>`);
      expect(marksOf(await readers.far.message(({ attrs }) => attrs.id === id))).toEqual(['xmpp-1']);
    });

    if (server.has.carbons)
      test('carbons: who has asked for them at the edge gets them in their form, of what is sent too, and who has not gets none', async () => {
        const account = await newAccount(server, 'reader');
        const wants = await logIn(far, account, { resource: 'wants' });
        const legacy = await logIn(far, account, { resource: 'legacy' });
        const other = await logIn(near, account, { resource: 'other' });
        for (const each of [wants, legacy, other]) await each.becomeAvailable();
        expect((await wants.iq('set', `<enable xmlns='${CARBONS}'/>`)).attrs.type).toBe('result');
        const partner = await logIn(far, await newAccount(server, 'partner'), { resource: 'p' });
        await partner.becomeAvailable();
        const sent = uniqueId();
        other.send(`<message to='${partner.jid}' type='chat' id='${sent}'><body>from me</body></message>`);
        await partner.message(({ attrs }) => attrs.id === sent);
        await wants.message((each) => each.getChild('sent', CARBONS) !== undefined, 'the sent copy');
        const received = uniqueId();
        partner.send(`<message to='${other.jid}' type='chat' id='${received}'><body>back</body></message>`);
        await other.message(({ attrs }) => attrs.id === received);
        expect((await legacy.message(({ attrs }) => attrs.id === received)).attrs.from).toBe(partner.jid);
        // To the account it goes to all of the top priority itself, so a copy is one form among two.
        await wants.message((each) => each.toString().includes(received), 'what came back');
        for (const each of [wants, legacy, other]) {
          await each.settle();
          expect([...messages(each, sent), ...messages(each, received)].map(String)).toEqual([]);
        }
        // Its wish not to have them any more is one as well.
        expect((await wants.iq('set', `<disable xmlns='${CARBONS}'/>`)).attrs.type).toBe('result');
        const later = uniqueId();
        other.send(`<message to='${partner.jid}' type='chat' id='${later}'><body>again</body></message>`);
        await partner.message(({ attrs }) => attrs.id === later);
        await wants.settle();
        expect(messages(wants, later).map(String)).toEqual([]);
      });

    test('XEP-0409 at the edge: what the other devices send comes once and as it is', async () => {
      const account = await newAccount(server, 'reader');
      const opted = await logIn(far, account, { resource: 'opted' });
      const desk = await logIn(far, account, { resource: 'desk' });
      for (const each of [opted, desk]) await each.becomeAvailable();
      expect((await opted.iq('set', `<enable xmlns='${IM_NG}'/>`)).attrs.type).toBe('result');
      const partner = await logIn(near, await newAccount(server, 'partner'), { resource: 'p' });
      await partner.becomeAvailable();
      const id = uniqueId();
      desk.send(`<message to='${partner.jid}' type='chat' id='${id}'><body>from the desk</body></message>`);
      expect((await opted.message(({ attrs }) => attrs.id === id)).attrs.from).toBe(desk.jid);
      await opted.settle();
      expect(messages(opted, id).map(String)).toEqual([]);
    });

    test('a resource that is gone: exactly one error from the address that was written to, and nobody gets it', async () => {
      const account = await newAccount(server, 'reader');
      const readers = [
        await logIn(far, account, { resource: 'one' }),
        await logIn(far, account, { resource: 'two' }),
        await logIn(near, account, { resource: 'three' }),
      ];
      for (const reader of readers) await reader.becomeAvailable();
      const writer = await logIn(far, await newAccount(server, 'writer'), { resource: 'w' });
      await writer.becomeAvailable();
      const id = uniqueId();
      const gone = `${account.jid}/gone`;
      writer.send(`<message to='${gone}' type='chat' id='${id}'><body>?OTR:AAMC</body></message>`);
      const error = await writer.message(({ attrs }) => attrs.id === id && attrs.type === 'error');
      expect(error.attrs.from).toBe(gone);
      for (const reader of readers) {
        await reader.settle();
        expect(messages(reader, id).map(String)).toEqual([]);
      }
      await writer.settle();
      expect(messages(writer, id).map(String)).toEqual([]);
    });
  },
  THROUGH_THE_PROXY,
);
