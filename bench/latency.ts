import type { Measurement } from './measurement.js';
import { overRounds, sleep } from './measurement.js';
import { Load, startBackend, startProxy, startRelay, stopAll } from './processes.js';
import { quantile } from './statistics.js';

const CONNECTIONS = 100;
const PER_SECOND = 1_000;

/** Round trips at a rate at which nobody is busy. */
export const LATENCY: Measurement = {
  name: 'latency',
  about: `round trip p50 and p99 at ${PER_SECOND} stanzas a second`,
  async run(bench) {
    const upstream = await startBackend(bench.place);
    const load = new Load(bench.place);
    const relay = await startRelay(bench.place, upstream);
    const proxy = await startProxy(bench.place, upstream);
    for (const { name, port } of [relay, proxy]) {
      await load.ask({ do: 'connect', path: name, port, tls: 'off', count: CONNECTIONS }, 'connected');
    }
    await sleep(500);
    const milliseconds = bench.quick ? 1_000 : 2_000;
    const rounds = bench.quick ? 3 : 9;
    const ratios = { p50: [] as number[], p99: [] as number[] };
    const roundTrips = { relay: [] as number[], proxy: [] as number[] };
    // The first two rounds are for the compilers.
    for (let round = -1; round <= rounds; round++) {
      const of: Record<'relay' | 'proxy', readonly number[]> = { relay: [], proxy: [] };
      for (const { name } of round % 2 === 0 ? [relay, proxy] : [proxy, relay]) {
        const request = { do: 'pace', path: name, perSecond: PER_SECOND, milliseconds } as const;
        of[name] = (await load.ask(request, 'paced')).roundTripsMs;
      }
      if (round < 1) continue;
      ratios.p50.push(quantile(of.proxy, 0.5) / quantile(of.relay, 0.5));
      ratios.p99.push(quantile(of.proxy, 0.99) / quantile(of.relay, 0.99));
      for (const name of ['relay', 'proxy'] as const)
        for (const time of of[name]) roundTrips[name].push(time);
      bench.progress(`latency: round ${round} of ${rounds}, p50 ${ratios.p50.at(-1)?.toFixed(2)} ×`);
    }
    await stopAll();
    return (
      [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const
    ).map(([name, share]) => {
      const [ofProxy, ofRelay] = [quantile(roundTrips.proxy, share), quantile(roundTrips.relay, share)];
      return overRounds(
        {
          name: `latency-${name}`,
          title: `round trip ${name}`,
          unit: '×',
          better: 'less',
          detail: `${ofProxy.toFixed(2)} ms, relay ${ofRelay.toFixed(2)} ms; ${PER_SECOND}/s, ${rounds} rounds`,
        },
        ratios[name],
      );
    });
  },
};
