import { HOSTILE_INPUTS, type HostileInput, ORDINARY_INPUT } from './hostile-inputs.js';
import type { Measurement, Result } from './measurement.js';
import { sleep } from './measurement.js';
import {
  cpuMicroseconds,
  Load,
  type Path,
  startBackend,
  startProxy,
  startRelay,
  stopAll,
} from './processes.js';

/** The price of a byte must not depend much on what it says: else a few clients could stop everybody. Our own bar. */
const TARGET = 10;
const PER_INPUT = 10;
const WARM_UP_ROUNDS = 3;

/**
 * What hostile bytes cost, as a multiple of what as many bytes of ordinary chat cost; and how long they keep a bystander waiting. Where an input
 * is refused, what comes behind that costs nothing.
 */
export const HOSTILE: Measurement = {
  name: 'hostile',
  about: 'CPU for hostile input, and the longest wait of a bystander',
  async run(bench) {
    const { place } = bench;
    const times = bench.quick ? 4 : PER_INPUT;
    const upstream = await startBackend(place);
    const load = new Load(place);
    const relay = await startRelay(place, upstream);
    const proxy = await startProxy(place, upstream);
    for (const { name, port } of [relay, proxy]) {
      await load.ask({ do: 'connect', path: name, port, tls: 'off', count: 1 }, 'connected');
    }
    const attack = async (path: Path, input: string) => {
      await load.ask({ do: 'prepare-attack', port: path.port, times }, 'prepared');
      await sleep(50);
      const before = cpuMicroseconds(path.child.pid);
      const { worstRoundTripMs } = await load.ask({ do: 'attack', path: path.name, input }, 'attacked');
      await sleep(50);
      return { cpu: (cpuMicroseconds(path.child.pid) - before) / 1000 / times, worstRoundTripMs };
    };
    const measure = async ({ name, bytes }: HostileInput) => {
      bench.progress(`hostile: ${name}`);
      // For the compilers.
      for (let i = 0; i < WARM_UP_ROUNDS; i++) for (const path of [relay, proxy]) await attack(path, name);
      const [ofRelay, ofProxy] = [await attack(relay, name), await attack(proxy, name)];
      return { ofRelay, ofProxy, perByte: ofProxy.cpu / bytes.length };
    };
    // The measure itself comes last: by then all of the program is as fast as it gets.
    const measured = [];
    for (const input of HOSTILE_INPUTS) measured.push({ input, ...(await measure(input)) });
    for (let i = 0; i < WARM_UP_ROUNDS; i++) await measure(ORDINARY_INPUT);
    const ordinary = await measure(ORDINARY_INPUT);
    const results: Result[] = [];
    for (const { input, ofRelay, ofProxy, perByte } of measured) {
      const ratio = perByte / ordinary.perByte;
      const waits = `bystander ${ofProxy.worstRoundTripMs.toFixed(1)} ms, relay ${ofRelay.worstRoundTripMs.toFixed(1)} ms`;
      results.push({
        name: `hostile-${input.name.replaceAll(/[^a-z0-9]+/gi, '-')}`,
        title: input.name,
        unit: '×',
        value: ratio,
        least: ratio,
        most: ratio,
        // A write per byte is what costs there, whoever reads it.
        ...(input.perWrite > 1 && { target: TARGET }),
        better: 'less',
        detail: `${ofProxy.cpu.toFixed(2)} ms, relay ${ofRelay.cpu.toFixed(2)} ms; ${waits}`,
      });
    }
    await stopAll();
    return results;
  },
};
