import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import type { RawClient } from './clients/raw.js';
import { describeRoutes, logIn, newAccount, newSession } from './routes.js';

const MAM = 'urn:xmpp:mam:2';
const CARBONS = 'urn:xmpp:carbons:2';
const FORWARD = 'urn:xmpp:forward:0';

const forwarded = (wrapper: Element | undefined) =>
  wrapper?.getChild('forwarded', FORWARD)?.getChild('message');

/** The bodies of what the archive has of a conversation, as pages of `size`. */
async function archived(client: RawClient, peer: string, size: number): Promise<string[]> {
  const bodies: string[] = [];
  for (let after = ''; ; ) {
    const id = `page-${bodies.length}`;
    const form =
      `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${MAM}</value></field>` +
      `<field var='with'><value>${peer}</value></field></x>`;
    const page = `<set xmlns='http://jabber.org/protocol/rsm'><max>${size}</max>${after && `<after>${after}</after>`}</set>`;
    const fin = await client.iq('set', `<query xmlns='${MAM}' queryid='${id}'>${form}${page}</query>`);
    expect(fin.attrs.type).toBe('result');
    const results = client.stream.inbox.filter((each) => each.getChild('result', MAM)?.attrs.queryid === id);
    for (const each of results)
      bodies.push(forwarded(each.getChild('result', MAM))?.getChildText('body') ?? '');
    const end = fin.getChild('fin', MAM);
    if (end?.attrs.complete === 'true' || results.length === 0) return bodies;
    after = end?.getChild('set')?.getChildText('last') ?? '';
  }
}

describeRoutes('archive and carbons', (route) => {
  const { server } = route;
  /** Where the server has none, the proxy makes them. */
  const hasCarbons = server.has.carbons || route.via === 'proxy';

  if (server.has.mam)
    test('both sides find a conversation in their archives, page by page', async () => {
      const alice = await newSession(route, 'alice');
      const bob = await newSession(route, 'bob');
      const said = Array.from({ length: 7 }, (_, n) => `for the record ${n}`);
      for (const [n, body] of said.entries()) {
        const [speaker, listener] = n % 2 === 0 ? [alice, bob] : [bob, alice];
        speaker.send(`<message to='${listener.jid}' type='chat'><body>${body}</body></message>`);
        const heard = await listener.body(body);
        expect(heard.getChild('stanza-id', 'urn:xmpp:sid:0')?.attrs.by).toBe(listener.bareJid);
      }
      expect(await archived(alice, bob.bareJid, 3)).toEqual(said);
      expect(await archived(bob, alice.bareJid, 100)).toEqual(said);
    });

  if (server.has.mam)
    test('archive preferences are read and set', async () => {
      const alice = await newSession(route, 'alice');
      const answer = await alice.iq('set', `<prefs xmlns='${MAM}' default='never'><always/><never/></prefs>`);
      expect(answer.attrs.type).toBe('result');
      const read = await alice.iq('get', `<prefs xmlns='${MAM}'/>`);
      expect(read.getChild('prefs', MAM)?.attrs.default).toBe('never');
    });

  if (hasCarbons)
    test('another session gets copies of what is sent and received', async () => {
      const alice = await newSession(route, 'alice');
      const account = await newAccount(server, 'bob');
      const desk = await logIn(route, account, { resource: 'desk' });
      const phone = await logIn(route, account, { resource: 'phone' });
      // So that it is the phone that gets copies, also of what is for the account as a whole.
      await desk.becomeAvailable('<presence><priority>5</priority></presence>');
      await phone.becomeAvailable();
      for (const session of [desk, phone]) {
        expect((await session.iq('set', `<enable xmlns='${CARBONS}'/>`)).attrs.type).toBe('result');
      }
      alice.send(`<message to='${desk.jid}' type='chat'><body>to the desk</body></message>`);
      await desk.body('to the desk');
      const received = await phone.message((message) => message.getChild('received', CARBONS) !== undefined);
      expect(received.attrs.from).toBe(account.jid);
      expect(forwarded(received.getChild('received', CARBONS))?.getChildText('body')).toBe('to the desk');

      desk.send(`<message to='${alice.jid}' type='chat'><body>from the desk</body></message>`);
      await alice.body('from the desk');
      const sent = await phone.message((message) => message.getChild('sent', CARBONS) !== undefined);
      expect(forwarded(sent.getChild('sent', CARBONS))?.getChildText('body')).toBe('from the desk');
    });

  if (hasCarbons)
    test('no copies after carbons are disabled, and none of private messages', async () => {
      const alice = await newSession(route, 'alice');
      const account = await newAccount(server, 'bob');
      const desk = await logIn(route, account, { resource: 'desk' });
      const phone = await logIn(route, account, { resource: 'phone' });
      await desk.becomeAvailable('<presence><priority>5</priority></presence>');
      await phone.becomeAvailable();
      await phone.iq('set', `<enable xmlns='${CARBONS}'/>`);
      const toDesk = (body: string, extra = '') =>
        alice.send(`<message to='${desk.jid}' type='chat'><body>${body}</body>${extra}</message>`);
      toDesk('in private', `<private xmlns='${CARBONS}'/><no-copy xmlns='urn:xmpp:hints'/>`);
      toDesk('in public');
      const copy = await phone.message((message) => message.getChild('received', CARBONS) !== undefined);
      expect(forwarded(copy.getChild('received', CARBONS))?.getChildText('body')).toBe('in public');
      expect((await phone.iq('set', `<disable xmlns='${CARBONS}'/>`)).attrs.type).toBe('result');
      toDesk('unheard');
      alice.send(`<message to='${phone.jid}' type='chat'><body>the end</body></message>`);
      await phone.body('the end');
      expect(phone.stream.inbox.filter((each) => each.getChild('received', CARBONS))).toEqual([]);
    });

  if (!server.has.mam)
    test('a server without them says so', async () => {
      const alice = await newSession(route, 'alice');
      const query = await alice.iq('set', `<query xmlns='${MAM}'/>`);
      expect(query.attrs.type).toBe('error');
      const enable = await alice.iq('set', `<enable xmlns='${CARBONS}'/>`);
      expect(enable.attrs.type).toBe(hasCarbons ? 'result' : 'error');
    });
});
