import { expect, test } from 'vitest';
import { NS } from './clients/raw-stream.js';
import { describeRoutes, logIn, newAccount, newConnection, newSession } from './routes.js';

describeRoutes('stream management', (route) => {
  const { server, via } = route;
  // jabberd2 has none, but the proxy offers it in front of every server.
  const offered = server.has.sm || via === 'proxy';

  if (offered)
    test('is offered and enabled without resumption', async () => {
      const alice = await logIn(route, await newAccount(server, 'alice'));
      expect(alice.offersSm).toBe(true);
      const enabled = await alice.enableSm();
      expect(['true', '1']).not.toContain(enabled.attrs.resume);
      alice.send(`<r xmlns='${NS.sm}'/>`);
      await alice.expect(
        'an acknowledgement',
        (element) => element.is('a', NS.sm) && element.attrs.h === '0',
      );
    });

  if (offered)
    test('counts what the client sent', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      const bob = await newSession(route, 'bob');
      for (let n = 0; n < 30; n += 1) {
        alice.send(`<message to='${bob.jid}' type='chat'><body>${n}</body></message>`);
        if (n % 7 === 0) alice.send('<presence><priority>1</priority></presence>');
        if (n % 5 === 0) alice.send(`<r xmlns='${NS.sm}'/>`);
      }
      await alice.acknowledged();
      expect(alice.sm?.acknowledged).toBe(alice.sm?.sent);
      await bob.body('29');
    });

  if (offered)
    test('counts what the client received, under traffic both ways', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      const bob = await newSession(route, 'bob', { sm: true });
      for (let n = 0; n < 60; n += 1) {
        alice.send(`<message to='${bob.jid}' type='chat'><body>a${n}</body></message>`);
        bob.send(`<message to='${alice.jid}' type='chat'><body>b${n}</body></message>`);
      }
      await Promise.all([bob.body('a59'), alice.body('b59')]);
      await Promise.all([alice.acknowledged(), bob.acknowledged()]);
      // A count that had drifted would have ended the stream of whoever sent the last `h`.
      for (const client of [alice, bob]) {
        client.send(`<a xmlns='${NS.sm}' h='${client.sm?.received}'/>`);
        await client.settle();
        expect(client.stream.closed).toBe(false);
      }
    });

  if (offered)
    test('enabling twice is refused, and the stream lives on', async () => {
      const alice = await newSession(route, 'alice', { sm: true });
      alice.send(`<enable xmlns='${NS.sm}'/>`);
      await alice.expect('a refusal', (element) => element.is('failed', NS.sm));
      await alice.settle();
    });

  if (offered)
    test('an unknown session is not resumed, and binding goes on', async () => {
      const account = await newAccount(server, 'alice');
      const alice = await newConnection(route);
      await alice.openStream();
      await alice.authenticate(account);
      alice.send(`<resume xmlns='${NS.sm}' previd='never-existed' h='0'/>`);
      await alice.expect('a refusal', (element) => element.is('failed', NS.sm));
      expect(await alice.bind('after')).toBe(`${account.jid}/after`);
    });

  if (!server.has.sm && via === 'direct')
    test('is unknown to the server, which says nothing', async () => {
      const alice = await newSession(route, 'alice');
      expect(alice.offersSm).toBe(false);
      alice.send(`<enable xmlns='${NS.sm}'/>`);
      await alice.settle();
      expect(alice.stream.inbox.filter((element) => element.attrs.xmlns === NS.sm)).toEqual([]);
    });
});
