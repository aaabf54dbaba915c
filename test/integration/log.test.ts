import { expect, test } from 'vitest';
import { RunningProxy } from './proxy.js';
import { describeRoutes, newSession, THROUGH_THE_PROXY } from './routes.js';
import { until } from './waiting.js';

interface SessionLine {
  readonly msg?: unknown;
  readonly jid?: unknown;
  readonly reason?: unknown;
  readonly stanzasFromClient?: number;
  readonly stanzasFromServer?: number;
  readonly bytesFromClient?: number;
  readonly bytesFromServer?: number;
}

describeRoutes(
  'the log, at debug',
  (route) => {
    /** Two sessions in which so much is said; all that was logged. */
    async function talk(messages: number): Promise<readonly SessionLine[]> {
      const proxy = await RunningProxy.inFrontOf(route.server, { logLevel: 'debug' });
      try {
        const own = { ...route, plain: { ...proxy.address(0), domain: route.server.domain } };
        const alice = await newSession(own, 'alice');
        const bob = await newSession(own, 'bob');
        for (let n = 1; n <= messages; n++)
          alice.send(`<message to='${bob.jid}' type='chat'><body>number ${n}</body></message>`);
        await bob.body(`number ${messages}`);
        await alice.close();
        await bob.close();
        const lines = (): readonly SessionLine[] => proxy.logs;
        await until(
          'the lines of both sessions',
          () => lines().filter(({ msg }) => msg === 'session').length >= 2,
        );
        return [...lines()];
      } finally {
        await proxy.stop();
      }
    }

    test('has one line for a session, at its end and with its totals, and none for a stanza', async () => {
      const quiet = await talk(1);
      const busy = await talk(200);
      const sessions = busy.filter(({ msg }) => msg === 'session');
      expect(sessions).toHaveLength(2);
      const [alice, bob] = sessions;
      expect(String(alice?.jid)).toMatch(/^alice/);
      expect(alice).toMatchObject({ reason: 'client-closed' });
      expect(alice?.stanzasFromClient).toBeGreaterThanOrEqual(200);
      expect(alice?.bytesFromClient).toBeGreaterThan(200 * 60);
      expect(bob?.stanzasFromServer).toBeGreaterThanOrEqual(200);
      expect(bob?.stanzasFromClient).toBeLessThan(50);
      expect(busy.length - quiet.length).toBeLessThan(20);
    });
  },
  { ...THROUGH_THE_PROXY, kinds: ['prosody'] },
);
