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

const TO_DEVICE = CHAT.toString();
const TO_ACCOUNT = TO_DEVICE.replace('/balcony', '');
/** On what comes back. */
const MARK = "<xmpp-1 xmlns='urn:xmpp:xmpp-2:0'/>";

/**
 * What one message costs more when the rules of routing are applied to it, in rounds that take turns with such where they are off. A message goes to the server and another comes
 * back. Both are marked, or the first is re-addressed too: its own cost is what there and back take, less one that is only marked.
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
    for (const perWrite of [1, 20]) results.push(...(await measure(bench, load, off, on, perWrite)));
    await stopAll();
    return results;
  },
};

async function measure(
  { quick, progress }: Bench,
  load: Load,
  off: Path,
  on: Path,
  perWrite: number,
): Promise<readonly Result[]> {
  const milliseconds = quick ? 250 : 400;
  /** Microseconds for one there and one back. */
  const cost = async (path: Path, stanza: string): Promise<number> => {
    const before = cpuMicroseconds(path.child.pid);
    const grows = ANSWER.length - Buffer.byteLength(stanza) + (path === on ? MARK.length : 0);
    const { stanzas } = await load.ask(
      { do: 'relay', path: path.name, perWrite, milliseconds, stanza, grows },
      'relayed',
    );
    return (cpuMicroseconds(path.child.pid) - before) / stanzas;
  };
  const passing: number[] = [];
  /** How much more there and back take with the rules than without. */
  const more = async (stanza: string, onFirst: boolean): Promise<number> => {
    const first = await cost(onFirst ? on : off, stanza);
    const second = await cost(onFirst ? off : on, stanza);
    passing.push((onFirst ? second : first) / 2);
    return onFirst ? first - second : second - first;
  };
  for (let i = 0; i < WARM_UP_ROUNDS; i++)
    for (const stanza of [TO_ACCOUNT, TO_DEVICE]) await more(stanza, true);
  passing.length = 0;
  const rounds = quick ? 8 : 30;
  const marked: number[] = [];
  const readdressed: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const oneMarked = (await more(TO_ACCOUNT, round % 2 === 0)) / 2;
    marked.push(oneMarked);
    readdressed.push((await more(TO_DEVICE, round % 2 === 0)) - oneMarked);
    progress(`routing, ${perWrite} at a time: round ${round} of ${rounds}`);
  }
  const result = (name: string, what: string, values: readonly number[], stanza: string): Result =>
    overRounds(
      {
        name: `routing-${name}-${perWrite}`,
        title: `More CPU for one message that is ${what}, ${perWrite} at a time`,
        unit: 'µs',
        target: TARGET,
        better: 'less',
        detail: `once through the proxy; to pass it takes ${quantile(passing, 0.5).toFixed(2)} µs; ${stanza.length} characters, ${rounds} rounds`,
      },
      values,
    );
  return [
    result('marked', 'marked', marked, TO_ACCOUNT),
    result('readdressed', 're-addressed and marked', readdressed, TO_DEVICE),
  ];
}
