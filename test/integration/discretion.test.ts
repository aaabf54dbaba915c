import { expect, test } from 'vitest';
import { NS } from './clients/raw-stream.js';
import { indiscreet, noteConfidential } from './confidential.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, newConnection, newSession, THROUGH_THE_PROXY } from './routes.js';

// Every proxy of a run is looked after in this way when it goes (`RunningProxy`); here it is shown that something would be found.
describeRoutes(
  'the log',
  (route) => {
    test('at trace, of all that is confidential in a conversation that is resumed, has nothing; of who spoke, it has', async () => {
      const proxy = await RunningProxy.inFrontOf(route.server, { logLevel: 'trace' });
      const own = { ...route, plain: { ...proxy.address(0), domain: route.server.domain } };
      const account = await newAccount(route.server, 'alice');
      const alice = await logIn(own, account, { resource: 'confidential-phone' });
      const id = String((await alice.enableSm("resume='true'")).attrs.id);
      const bob = await newSession(own, 'bob', { tls: 'starttls' });
      alice.send(`<message to='${bob.jid}' type='chat'><body>between-the-two-of-us</body></message>`);
      await bob.body('between-the-two-of-us');
      alice.stream.cut();
      const again = await newConnection(own);
      await again.openStream();
      await again.authenticate(account);
      again.send(`<resume xmlns='${NS.sm}' previd='${id}' h='0'/>`);
      await again.expect('resumed', (element) => element.is('resumed', NS.sm));
      again.stream.cut();
      await proxy.stop();
      const lines = proxy.output.split('\n').filter((line) => line.startsWith('{'));
      expect(lines.length).toBeGreaterThan(3);
      expect(indiscreet(lines)).toEqual([]);
      for (const secret of [account.password, id, 'between-the-two-of-us'])
        expect(indiscreet([`{"msg":"x","detail":"${secret}"}`])).toHaveLength(1);
      noteConfidential(account.name);
      expect(indiscreet(lines).join()).toContain(account.name);
    });
  },
  THROUGH_THE_PROXY,
);
