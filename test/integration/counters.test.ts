import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { FEATURES } from '../../src/features/index.js';
import { Metrics } from '../../src/ops/metrics.js';
import { createDomains } from '../../src/session/domain.js';
import { type Feature, PASS } from '../../src/session/feature.js';
import { Session } from '../../src/session/session.js';
import { MemoryStore } from '../../src/store/memory.js';
import { CertificateStore } from '../../src/transport/certificates.js';
import { Middlebox } from '../../src/transport/middlebox.js';
import type { RawClient } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import { describeRoutes, logIn, newAccount } from './routes.js';

const DROPPED = 'to-be-dropped';
const INJECTED = "<message type='headline' id='injected'><body>injected</body></message>";

/** Reproducible: the failing run can be repeated from its seed. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}

/** Drops and injects messages at random in both directions, and asks the server things of its own. */
function meddling(roll: () => number, counts: { dropped: number; injected: number }): Feature {
  return {
    name: 'meddling',
    watches: [
      { direction: 'to-server', stanza: 'message' },
      { direction: 'to-client', stanza: 'message' },
    ],
    open: (context) => ({
      onStanza: ({ direction, frame }) => {
        const fate = roll();
        if (fate < 0.2) {
          counts.injected += 1;
          context.send('client', INJECTED, 'test-injected');
        } else if (fate < 0.4) {
          counts.injected += 1;
          context.send('server', `<message to='${context.identity.full}' type='headline'/>`, 'test-injected');
        } else if (fate < 0.5) {
          context.request({ leg: 'server', type: 'get', payload: `<ping xmlns='urn:xmpp:ping'/>` }, () => {});
        } else if (fate < 0.7 && direction === 'to-server' && frame.findChild('drop', DROPPED) >= 0) {
          counts.dropped += 1;
          return { action: 'drop', reason: 'test-dropped' };
        }
        return PASS;
      },
    }),
  };
}

describeRoutes(
  'a feature injects and drops at random, stream management on',
  (route) => {
    const { server } = route;
    const seed = Number(process.env.INTERSTANZA_SEED ?? Date.now() % 1_000_000);
    const counts = { dropped: 0, injected: 0 };
    let box: Middlebox;
    let dataDir: string;

    beforeAll(async () => {
      if (inject('interstanza').missing.servers[server.kind]) return;
      dataDir = await mkdtemp(join(tmpdir(), 'interstanza-'));
      const { config } = await loadConfig({
        domains: [server.domain],
        upstreams: [`xmpp://${server.host}:${server.port}`],
        listeners: ['xmpp://127.0.0.1:0?tls=off'],
        data: dataDir,
      });
      const log = pino({ level: 'silent' });
      const domains = createDomains(config, [...FEATURES, meddling(dice(seed), counts)]);
      const create: ConstructorParameters<typeof Middlebox>[2] = (port, start) =>
        new Session(port, { ...start, config, domains });
      box = new Middlebox(config, new CertificateStore(log), create, new Metrics(), log);
      await box.open(new MemoryStore());
    });

    afterAll(async () => {
      box?.close();
      if (dataDir) await rm(dataDir, { recursive: true });
    });

    const port = () => Number(new URL(box.urls[0]!.replace('xmpp:', 'http:')).port);

    test(`counters never drift (seed ${seed})`, async () => {
      const through = { ...route, plain: { ...route.plain, port: port() } };
      const enter = async (hint: string): Promise<RawClient> => {
        const client = await logIn(through, await newAccount(server, hint), { sm: true });
        client.send('<presence/>');
        await client.settle();
        return client;
      };
      const [alice, bob] = await Promise.all([enter('alice'), enter('bob')]);
      for (let n = 0; n < 200; n += 1) {
        const drop = n % 3 === 0 ? `<drop xmlns='${DROPPED}'/>` : '';
        alice.send(`<message to='${bob.jid}' type='chat' id='a${n}'><body>a${n}</body>${drop}</message>`);
        bob.send(`<message to='${alice.jid}' type='chat' id='b${n}'><body>b${n}</body>${drop}</message>`);
        if (n % 20 === 0) for (const client of [alice, bob]) client.send(`<r xmlns='${NS.sm}'/>`);
        if (n % 50 === 0) await Promise.all([alice.settle(), bob.settle()]);
      }
      await Promise.all([alice.acknowledged(), bob.acknowledged()]);
      for (const client of [alice, bob]) {
        expect(client.sm?.acknowledged).toBe(client.sm?.sent);
        // A count that had drifted would end the stream of whoever sends it.
        client.send(`<a xmlns='${NS.sm}' h='${client.sm?.received}'/>`);
        await client.settle();
        expect(client.stream.closed).toBe(false);
      }
      expect(counts.dropped).toBeGreaterThan(10);
      expect(counts.injected).toBeGreaterThan(100);
    });
  },
  { via: ['direct'] },
);
