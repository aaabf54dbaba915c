import { Buffer } from 'node:buffer';
import { type ClientTls, Connection } from './connection.js';
import { HOSTILE_INPUTS, ORDINARY_INPUT } from './hostile-inputs.js';
import { CHAT, SINK_ACCOUNT } from './streams.js';

/*
 * The clients of the bench, in a process of their own. Driven by messages; see `LoadRequest`.
 */

export type LoadRequest =
  | {
      readonly do: 'connect';
      readonly path: string;
      readonly port: number;
      readonly tls: ClientTls;
      readonly count: number;
      /** With the right to resume the session. */
      readonly resumable?: boolean;
    }
  /** All connections at once, each with `perWrite` stanzas in flight. */
  | {
      readonly do: 'relay';
      readonly path: string;
      readonly perWrite: number;
      readonly milliseconds: number;
      /** Default: an ordinary chat message. */
      readonly stanza?: string;
      /** So many bytes longer it comes back. */
      readonly grows?: number;
    }
  /** One stanza at a time, the connections in turns, at a given rate. */
  | { readonly do: 'pace'; readonly path: string; readonly perSecond: number; readonly milliseconds: number }
  /** New connections that will send something hostile. */
  | { readonly do: 'prepare-attack'; readonly port: number; readonly times: number }
  | { readonly do: 'attack'; readonly input: string; readonly path: string }
  | { readonly do: 'close'; readonly path: string };

export type LoadAnswer =
  | { readonly done: 'connected' | 'closed' | 'prepared' }
  | { readonly done: 'relayed'; readonly stanzas: number }
  | { readonly done: 'paced'; readonly roundTripsMs: readonly number[]; readonly late: number }
  | { readonly done: 'attacked'; readonly bytes: number; readonly worstRoundTripMs: number }
  | { readonly done: 'failed'; readonly message: string };

const LOGINS_AT_A_TIME = 16;
/** What is not back by then is lost. */
const LOST_MS = 10_000;

const connections = new Map<string, Connection[]>();
let attackers: Connection[] = [];

async function answer(request: LoadRequest): Promise<LoadAnswer> {
  switch (request.do) {
    case 'connect':
      connections.set(
        request.path,
        await openAll(request.port, request.tls, 'user', request.count, request.resumable),
      );
      return { done: 'connected' };
    case 'relay':
      return {
        done: 'relayed',
        stanzas: await relay(of(request.path), request),
      };
    case 'pace':
      return pace(of(request.path), request.perSecond, request.milliseconds);
    case 'prepare-attack':
      attackers = await openAll(request.port, 'off', SINK_ACCOUNT, request.times);
      return { done: 'prepared' };
    case 'attack':
      return attack(of(request.path), request.input);
    case 'close':
      for (const connection of of(request.path)) connection.close();
      connections.delete(request.path);
      return { done: 'closed' };
  }
}

function of(path: string): Connection[] {
  const found = connections.get(path);
  if (found === undefined) throw new Error(`nobody is connected to ${path}`);
  return found;
}

async function openAll(
  port: number,
  tls: ClientTls,
  account: string,
  count: number,
  resumable = false,
): Promise<Connection[]> {
  const opened: Connection[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) opened.push(await Connection.open(port, tls, `${account}${next++}`, resumable));
  };
  await Promise.all(Array.from({ length: Math.min(LOGINS_AT_A_TIME, count) }, worker));
  return opened;
}

/** @returns how many stanzas have come back */
function relay(
  clients: readonly Connection[],
  { perWrite, milliseconds, stanza, grows = 0 }: Extract<LoadRequest, { readonly do: 'relay' }>,
): Promise<number> {
  const one = stanza === undefined ? CHAT : Buffer.from(stanza);
  const batch = perWrite === 1 ? one : Buffer.concat(Array.from({ length: perWrite }, () => one));
  const expected = batch.length + perWrite * grows;
  return new Promise((resolve, reject) => {
    const until = performance.now() + milliseconds;
    let batches = 0;
    let busy = clients.length;
    const lost = setTimeout(
      () => reject(new Error(`${busy} clients wait for stanzas`)),
      milliseconds + LOST_MS,
    );
    for (const client of clients) {
      let missing = expected;
      client.onGone = () => reject(new Error('a client has been thrown out'));
      client.onBytes = (length) => {
        missing -= length;
        if (missing > 0) return;
        // More than was sent is no echo: the count would be wrong.
        if (missing < 0) reject(new Error(`${-missing} bytes too many`));
        batches += 1;
        missing = expected;
        if (performance.now() < until) client.send(batch);
        else if (--busy === 0) {
          clearTimeout(lost);
          resolve(batches * perWrite);
        }
      };
      client.send(batch);
    }
  });
}

function pace(clients: readonly Connection[], perSecond: number, milliseconds: number): Promise<LoadAnswer> {
  return new Promise((resolve) => {
    const start = performance.now();
    const roundTripsMs: number[] = [];
    const sentAt = clients.map(() => -1);
    let sent = 0;
    let late = 0;
    clients.forEach((client, index) => {
      let missing = CHAT.length;
      client.onBytes = (length) => {
        missing -= length;
        if (missing > 0) return;
        missing = CHAT.length;
        roundTripsMs.push(performance.now() - sentAt[index]!);
        sentAt[index] = -1;
      };
    });
    const timer = setInterval(() => {
      const now = performance.now();
      if (now - start >= milliseconds) {
        clearInterval(timer);
        setTimeout(() => resolve({ done: 'paced', roundTripsMs, late }), 200);
        return;
      }
      for (const due = ((now - start) * perSecond) / 1000; sent < due; sent++) {
        const index = sent % clients.length;
        if (sentAt[index] !== -1) {
          late += 1;
          continue;
        }
        sentAt[index] = performance.now();
        clients[index]!.send(CHAT);
      }
    }, 1);
  });
}

/** Each of the attackers sends the input once, while a bystander goes on with its round trips. */
async function attack(bystanders: readonly Connection[], name: string): Promise<LoadAnswer> {
  const input = [ORDINARY_INPUT, ...HOSTILE_INPUTS].find((candidate) => candidate.name === name);
  const bystander = bystanders[0];
  if (input === undefined || bystander === undefined)
    throw new Error(`no input ${name}, or nobody to watch it`);
  const stopWatching = watch(bystander);
  let bytes = 0;
  for (const attacker of attackers) {
    for (let at = 0; at < input.bytes.length && !attacker.gone; at += input.perWrite) {
      attacker.send(input.bytes.subarray(at, at + input.perWrite));
      await attacker.sent();
      // The other processes get their turn, so that the pieces arrive as pieces.
      if (input.perWrite < 64) await new Promise((resolve) => setImmediate(resolve));
    }
    bytes += input.bytes.length;
  }
  const worstRoundTripMs = await stopWatching();
  for (const attacker of attackers) attacker.close();
  attackers = [];
  return { done: 'attacked', bytes, worstRoundTripMs };
}

/** @returns ends the watch, after one more round trip, and tells the longest */
function watch(client: Connection): () => Promise<number> {
  let worst = 0;
  let missing = CHAT.length;
  let sentAt = performance.now();
  let ended: ((worst: number) => void) | undefined;
  client.onBytes = (length) => {
    missing -= length;
    if (missing > 0) return;
    worst = Math.max(worst, performance.now() - sentAt);
    if (ended !== undefined) {
      ended(worst);
      return;
    }
    missing = CHAT.length;
    // A pause, so that the bystander itself costs next to nothing.
    setTimeout(() => {
      sentAt = performance.now();
      client.send(CHAT);
    }, 1);
  };
  client.send(CHAT);
  return () =>
    new Promise((resolve) => {
      ended = resolve;
    });
}

process.on('message', (request: LoadRequest) => {
  answer(request).then(
    (answered) => process.send?.(answered),
    (error: unknown) => {
      const failed: LoadAnswer = {
        done: 'failed',
        message: error instanceof Error ? error.message : String(error),
      };
      process.send?.(failed);
    },
  );
});
process.on('disconnect', () => process.exit());
