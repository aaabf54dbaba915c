import { Buffer } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { difference } from '../src/features/presence-session/difference.js';
import { View } from '../src/features/presence-session/view.js';
import { Frame } from '../src/xml/frame.js';
import { NamespaceTable, NS } from '../src/xml/namespaces.js';
import { parseStanza } from '../src/xml/tokenizer.js';
import { type Rejoin, rejoin, STRANGERS } from './fast-reconnect-rooms.js';
import { type Measurement, overRounds, type Result } from './measurement.js';

const ROOMS = [50, 500, 2_000, 10_000];
const CHANGES = [0, 1, 5, 20, 50, 100];
const UNCHANGED_BYTES = 1_000;
const OVERHEAD = 1.2;
const DIFFERENCE_MS = 10;
const BYTES_PER_OCCUPANT = 120;

const kilobytes = (bytes: number): string => `${(bytes / 1_000).toFixed(bytes < 10_000 ? 2 : 0)} kB`;

function rejoins(quick: boolean, isLegacy: boolean, progress: (text: string) => void): Rejoin[] {
  const found: Rejoin[] = [];
  for (const occupants of quick ? ROOMS.slice(0, 3) : ROOMS) {
    for (const percent of CHANGES) {
      found.push(rejoin(occupants, percent, isLegacy));
      progress(`rejoin of ${occupants}: ${percent} % changed`);
    }
  }
  return found;
}

function multiple({ occupants, percent, full, again }: Rejoin, prefix: string): Result {
  return {
    name: `${prefix}-${occupants}-${percent}`,
    title: `${occupants.toLocaleString('en')} occupants, ${percent} % changed`,
    unit: '×',
    value: again / full,
    least: again / full,
    most: again / full,
    better: 'less',
    detail: `${kilobytes(again)} instead of ${kilobytes(full)}`,
  };
}

/** A client that speaks XEP-0311, in front of a room that does not. */
export const FAST_RECONNECT: Measurement = {
  name: 'fast-reconnect',
  about: "bytes of a rejoin on the client's link, with XEP-0311 and without",
  async run({ quick, progress }) {
    const found = rejoins(quick, false, progress);
    const unchanged = found.find(({ occupants, percent }) => occupants === 500 && percent === 0)!;
    const fixed = (occupants: number): number =>
      found.find((one) => one.occupants === occupants && one.percent === 0)!.again;
    const overheads = found
      .filter(({ changed }) => changed > 0)
      .map(({ occupants, again, changedBytes }) => (again - fixed(occupants)) / changedBytes);
    return [
      ...found.map((one) => multiple(one, 'rejoin')),
      {
        name: 'rejoin-unchanged-500',
        title: 'unchanged room of 500',
        unit: 'B',
        value: unchanged.again,
        least: unchanged.again,
        most: unchanged.again,
        target: UNCHANGED_BYTES,
        better: 'less',
        detail: `instead of ${kilobytes(unchanged.full)}`,
      },
      overRounds(
        {
          name: 'rejoin-overhead',
          title: 'k changed occupants, over the bytes of their k presences',
          unit: '×',
          target: OVERHEAD,
          better: 'less',
          detail: 'what comes on top of an unchanged rejoin, all rooms and changes',
        },
        overheads,
      ),
    ];
  },
};

/** A client that does not, an edge and a core, and a room that does not. */
export const FAST_RECONNECT_THIN: Measurement = {
  name: 'fast-reconnect-thin',
  about: 'bytes of a rejoin on the thin link between edge and core, legacy client',
  async run({ quick, progress }) {
    return rejoins(quick, true, progress).map((one) => multiple(one, 'thin'));
  },
};

/** Time of the difference and memory of the views, in this process. */
export const FAST_RECONNECT_COST: Measurement = {
  name: 'fast-reconnect-cost',
  about: 'time of the difference for 10,000 occupants, memory of a view per occupant',
  async run({ quick, progress }) {
    const results: Result[] = [];
    progress('difference: 10,000 occupants');
    results.push(...timeOfDifference(10_000, quick ? 20 : 60));
    for (const occupants of ROOMS) {
      progress(`views: ${occupants} occupants`);
      results.push(memoryOfViews(occupants));
    }
    return results;
  },
};

const NAMESPACES = new NamespaceTable(Object.values(NS));

function presences(occupants: number): { readonly nick: string; readonly frame: Frame }[] {
  return Array.from({ length: occupants }, (_, n) => {
    const { nick, content, jid } = STRANGERS(n);
    const xml = `<presence from='orchard@chats.shakespeare.lit/${nick}' to='juliet@capulet.lit/balcony'>${content}<x xmlns='${NS.mucUser}'><item affiliation='none' role='participant' jid='${jid}'/></x></presence>`;
    const frame = parseStanza(Buffer.from(xml), NAMESPACES);
    if (!(frame instanceof Frame)) throw new Error(`no stanza: ${xml}`);
    return { nick, frame };
  });
}

function viewOf(all: readonly { readonly nick: string; readonly frame: Frame }[], session: string): View {
  const view = View.empty(session);
  for (const { nick, frame } of all) view.here(nick, frame, view.next(0));
  return view;
}

function timeOfDifference(occupants: number, rounds: number): Result[] {
  const all = presences(occupants);
  const view = viewOf(all, 'abcdefgh1234');
  const read: number[] = [];
  const compared: number[] = [];
  for (let round = 0; round < rounds + 10; round++) {
    const before = performance.now();
    const standing = all.map(({ nick, frame }) => {
      const { lo, hi, flags } = view.digest.presence(frame);
      // A fifth of them has changed.
      return { nick, hi, flags, lo: nick.endsWith('7') || nick.endsWith('3') ? lo ^ 1 : lo };
    });
    const between = performance.now();
    const { changed } = difference(view, view.last, standing, 'Juliet');
    const after = performance.now();
    if (changed.length === 0) throw new Error('nothing has changed');
    // The first rounds are for the compiler.
    if (round < 10) continue;
    read.push(between - before);
    compared.push(after - between);
  }
  const both = read.map((time, at) => time + compared[at]!);
  const size = occupants.toLocaleString('en');
  return [
    overRounds(
      {
        name: 'difference',
        title: `difference of ${size} occupants`,
        unit: 'ms',
        target: DIFFERENCE_MS,
        better: 'less',
        detail: 'the digests of what the room says and the view compared, 20 % changed',
      },
      compared,
    ),
    overRounds(
      {
        name: 'difference-with-digests',
        title: `the same with making the digests, ${size}`,
        unit: 'ms',
        better: 'less',
        detail: 'which is done as presences arrive',
      },
      both,
    ),
  ];
}

/** Enough views that what the process takes is theirs. */
const OCCUPANTS_IN_ALL = 400_000;

function memoryOfViews(occupants: number): Result {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    for (let n = 0; n < 4; n++) collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const all = presences(occupants);
  viewOf(all, 'abcdefgh1234');
  const count = Math.ceil(OCCUPANTS_IN_ALL / occupants);
  const views: View[] = [];
  const before = used();
  for (let n = 0; n < count; n++) views.push(viewOf(all, `abcdefgh${String(n).padStart(4, '0')}`));
  const bytes = (used() - before) / (views.length * occupants);
  return {
    name: `view-memory-${occupants}`,
    title: `a view, per occupant, room of ${occupants.toLocaleString('en')}`,
    unit: 'B',
    value: bytes,
    least: bytes,
    most: bytes,
    target: BYTES_PER_OCCUPANT,
    better: 'less',
    detail: `heap and buffers of ${count.toLocaleString('en')} views`,
  };
}
