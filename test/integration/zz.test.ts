import { test } from 'vitest';
import { RunningProxy } from './proxy.js';
import { describeRoutes, newSession } from './routes.js';
describeRoutes('zz', (route) => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('x', { timeout: 100_000 }, async () => {
    const proxy = await RunningProxy.inFrontOf(route.server, { logLevel: 'debug' });
    const here = { ...route, plain: { ...proxy.address(0), domain: route.server.domain } };
    const [alice, bob] = [await newSession(here, 'alice'), await newSession(here, 'bob')];
    const [keen, deaf] = [await newSession(here, 'keen'), await newSession(here, 'deaf')];
    const t = Date.now();
    const flood = async (to: any) => {
      const stanza = `<message to='${to.jid}' type='headline'><body>${'x'.repeat(100_000)}</body></message>`;
      for (let n = 0; n < 250; n += 1) {
        alice.send(stanza);
        if (n % 10 === 9) await alice.settle();
      }
    };
    try {
    await flood(keen);
    for (let n = 0; n < 250; n += 1) await keen.message(undefined, `message ${n}`, 20_000);
    console.log('keen', Date.now() - t);
    deaf.stream.pause();
    await flood(deaf);
    console.log('deaf', Date.now() - t);
    alice.send(`<message to='${bob.jid}' type='chat'><body>meanwhile</body></message>`);
    await bob.body('meanwhile', 20_000);
    console.log('bob', Date.now() - t);
    deaf.stream.resume();
    for (let n = 0; n < 250; n += 1) await deaf.message(undefined, `message ${n}`, 20_000);
    } catch (e) { console.log(String(e).slice(0, 200)); }
    console.log('end', Date.now() - t, deaf.stream.closed, deaf.stream.trouble);
    console.log(proxy.logs.slice(-12).map((l) => JSON.stringify(l).slice(0, 400)).join('\n'));
    await proxy.dispose();
  });
}, { via: ['proxy'], kinds: ['prosody'] });
