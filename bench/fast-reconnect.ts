import { type Rejoin, rejoins } from './fast-reconnect-rooms.js';
import { type Bench, type Measurement, overRounds, type Result } from './measurement.js';

const ROOMS = [50, 500, 2_000, 10_000];
const CHANGES = [0, 1, 5, 20, 50, 100];
const UNCHANGED_BYTES = 1_000;
const OVERHEAD = 1.2;

const kilobytes = (bytes: number): string => `${(bytes / 1_000).toFixed(bytes < 10_000 ? 2 : 0)} kB`;

async function all({ place, quick, progress }: Bench, isLegacy: boolean): Promise<Rejoin[]> {
  const found: Rejoin[] = [];
  for (const occupants of quick ? ROOMS.slice(0, 2) : ROOMS) {
    found.push(
      ...(await rejoins(place, occupants, CHANGES, isLegacy, (percent) =>
        progress(`rejoin of ${occupants}: ${percent} % changed`),
      )),
    );
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
  async run(bench) {
    const found = await all(bench, false);
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
  async run(bench) {
    return (await all(bench, true)).map((one) => multiple(one, 'thin'));
  },
};
