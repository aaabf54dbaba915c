import { Buffer } from 'node:buffer';
import type { Bench, Measurement, Result } from './measurement.js';
import { overRounds, sleep } from './measurement.js';
import { cpuMicroseconds, Load, type Path, startBackend, startProxy, stopAll } from './processes.js';
import { quantile } from './statistics.js';
import { ANSWER, CHAT, LOOPBACK } from './streams.js';

const CONNECTIONS = 100;
const WARM_UP_ROUNDS = 3;
/** Microseconds of CPU. */
const TARGET = 2;

const FULL = CHAT.toString();
const RESOURCE = '/balcony';
/** On what comes back. */
const MARK = "<xmpp-1 xmlns='urn:xmpp:xmpp-2:0'/>";

interface Shape {
  readonly name: string;
  readonly title: string;
  readonly stanza: string;
}

const SHAPES: readonly Shape[] = [
  { name: 'marked', title: 'a message is marked', stanza: FULL.replace(RESOURCE, '') },
  { name: 'readdressed', title: 'a message is re-addressed and marked', stanza: FULL },
];

/**
 * What a message costs more when the rules of routing are applied to it, in rounds that take turns with such where they are off. One goes there, marked and perhaps
 * re-addressed, and another comes back and is marked.
 */
export const ROUTING: Measurement = {
  name: 'routing',
  about: `CPU of routing, ${CONNECTIONS} connections, 1 and 20 messages at a time`,
  async run(bench) {
    const { place } = bench;
    const upstream = await startBackend(place, ['--answer']);
    const load = new Load(place);
    const listen = `xmpp://${LOOPBACK}:0?tls=off`;
    const off: Path = { ...(await startProxy(place, upstream, listen)), name: 'relay' };
    const on = await startProxy(place, upstream, listen, { routing: true });
    for (const { name, port } of [off, on])
      await load.ask({ do: 'connect', path: name, port, tls: 'off', count: CONNECTIONS }, 'connected');
    await sleep(500);
    const results: Result[] = [];
    for (const shape of SHAPES)
      for (const perWrite of [1, 20]) results.push(await measure(bench, load, off, on, shape, perWrite));
    await stopAll();
    return results;
  },
};

async function measure(
  { quick, progress }: Bench,
  load: Load,
  off: Path,
  on: Path,
  { name, title, stanza }: Shape,
  perWrite: number,
): Promise<Result> {
  const milliseconds = quick ? 250 : 400;
  const difference = ANSWER.length - Buffer.byteLength(stanza);
  /** Microseconds a message; two for each that is sent. */
  const cost = async (path: Path): Promise<number> => {
    const before = cpuMicroseconds(path.child.pid);
    const grows = difference + (path === on ? MARK.length : 0);
    const { stanzas } = await load.ask(
      { do: 'relay', path: path.name, perWrite, milliseconds, stanza, grows },
      'relayed',
    );
    return (cpuMicroseconds(path.child.pid) - before) / (2 * stanzas);
  };
  for (let i = 0; i < WARM_UP_ROUNDS; i++) {
    await cost(off);
    await cost(on);
  }
  const rounds = quick ? 8 : 30;
  const more: number[] = [];
  const base: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const first = await cost(round % 2 === 0 ? off : on);
    const second = await cost(round % 2 === 0 ? on : off);
    const [without, withIt] = round % 2 === 0 ? [first, second] : [second, first];
    more.push(withIt - without);
    base.push(without);
    progress(`routing, ${title}, ${perWrite} at a time: round ${round} of ${rounds}`);
  }
  return overRounds(
    {
      name: `routing-${name}-${perWrite}`,
      title: `More CPU when ${title}, ${perWrite} at a time`,
      unit: 'µs',
      target: TARGET,
      better: 'less',
      detail:
        `one pass; there and back ${(2 * quantile(more, 0.5)).toFixed(2)} µs; ` +
        `without ${quantile(base, 0.5).toFixed(2)} µs; ${stanza.length} characters, ${rounds} rounds`,
    },
    more,
  );
}
