import type { Bench, Measurement, Result } from './measurement.js';
import { overRounds, sleep } from './measurement.js';
import {
  cpuMicroseconds,
  Load,
  type Path,
  startBackend,
  startProxy,
  startRelay,
  stopAll,
} from './processes.js';
import { quantile } from './statistics.js';
import { CHAT } from './streams.js';

const CONNECTIONS = 100;
const WARM_UP_ROUNDS = 3;

interface Shape {
  readonly perWrite: number;
  readonly target: number;
}

const SHAPES: readonly Shape[] = [
  { perWrite: 1, target: 1.15 },
  { perWrite: 20, target: 2 },
];

/** CPU time of the proxy per stanza, as a multiple of the relay's under the same load in rounds that take turns. */
export const RELAYING: Measurement = {
  name: 'relaying',
  about: `CPU per stanza, ${CONNECTIONS} connections, 1 and 20 stanzas at a time`,
  async run(bench) {
    const results: Result[] = [];
    for (const streamManagement of [false, true]) {
      results.push(...(await measure(bench, streamManagement)));
      await stopAll();
    }
    return results;
  },
};

async function measure(bench: Bench, streamManagement: boolean): Promise<Result[]> {
  const { place, quick } = bench;
  const upstream = await startBackend(place, streamManagement ? ['--sm'] : []);
  const load = new Load(place);
  const relay = await startRelay(place, upstream);
  const proxy = await startProxy(place, upstream);
  for (const { name, port } of [relay, proxy]) {
    await load.ask({ do: 'connect', path: name, port, tls: 'off', count: CONNECTIONS }, 'connected');
  }
  // What the proxy says of its own after a login is over by then.
  await sleep(500);
  const with_ = streamManagement ? ', server has stream management' : '';
  const results: Result[] = [];
  for (const { perWrite, target } of SHAPES) {
    const milliseconds = quick ? 250 : 400;
    const cost = async (path: Path): Promise<number> => {
      const before = cpuMicroseconds(path.child.pid);
      const { stanzas } = await load.ask({ do: 'relay', path: path.name, perWrite, milliseconds }, 'relayed');
      // There and back.
      return (cpuMicroseconds(path.child.pid) - before) / (2 * stanzas);
    };
    for (let i = 0; i < WARM_UP_ROUNDS; i++) {
      await cost(relay);
      await cost(proxy);
    }
    const rounds = quick ? 8 : 30;
    const ratios: number[] = [];
    const costs = { relay: [] as number[], proxy: [] as number[] };
    for (let round = 1; round <= rounds; round++) {
      // Which one comes first changes, so that a machine that slows down favours neither.
      const relayFirst = round % 2 === 0;
      const first = await cost(relayFirst ? relay : proxy);
      const second = await cost(relayFirst ? proxy : relay);
      const [ofRelay, ofProxy] = relayFirst ? [first, second] : [second, first];
      ratios.push(ofProxy / ofRelay);
      costs.relay.push(ofRelay);
      costs.proxy.push(ofProxy);
      bench.progress(
        `relaying, ${perWrite} at a time${with_}: round ${round} of ${rounds}, ${ratios.at(-1)?.toFixed(2)} ×`,
      );
    }
    const [ofRelay, ofProxy] = [quantile(costs.relay, 0.5), quantile(costs.proxy, 0.5)];
    results.push(
      overRounds(
        {
          name: `relaying-${perWrite}${streamManagement ? '-sm' : ''}`,
          title: `CPU per stanza, ${perWrite} at a time${with_}`,
          unit: '×',
          target,
          better: 'less',
          detail: `${ofProxy.toFixed(2)} µs, relay ${ofRelay.toFixed(2)} µs; ${CHAT.length} bytes, ${rounds} rounds`,
        },
        ratios,
      ),
    );
  }
  return results;
}
