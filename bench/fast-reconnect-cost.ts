import { Buffer } from 'node:buffer';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { HeldJoin } from '../src/features/presence-session/held-join.js';
import { PlayedRoom } from '../src/features/presence-session/played-room.js';
import { View } from '../src/features/presence-session/view.js';
import type { FeatureContext } from '../src/session/feature.js';
import { Frame } from '../src/xml/frame.js';
import { NamespaceTable, NS } from '../src/xml/namespaces.js';
import { parseStanza } from '../src/xml/tokenizer.js';
import { ROOM } from '../test/unit/features/presence-session-room.js';
import { STRANGERS } from './fast-reconnect-rooms.js';
import { type Measurement, overRounds, type Result } from './measurement.js';

const OCCUPANTS = 10_000;
const ROOMS = [50, 100, 500, 2_000, OCCUPANTS];
const DIFFERENCE_MS = 10;
const BYTES_PER_OCCUPANT = 120;
const FULL = 'juliet@capulet.lit/balcony';
const SESSION = 'abcdefgh1234';
/** Rounds for the compiler. */
const WARMING = 10;

/** Time of the difference and memory of the views, in this process. */
export const FAST_RECONNECT_COST: Measurement = {
  name: 'fast-reconnect-cost',
  about: 'time of the difference for 10,000 occupants, memory of a view per occupant',
  async run({ quick, progress }) {
    const results: Result[] = [];
    const rounds = quick ? 20 : 60;
    progress('difference: 10,000 occupants');
    results.push(...timesOfRejoin('', 'spelled as before', 20, (xml) => xml, rounds));
    results.push(...timesOfRejoin('-unchanged', 'spelled as before', 0, (xml) => xml, rounds));
    results.push(...timesOfRejoin('-respelled', 'all spelled in another way', 0, respelled, rounds));
    for (const occupants of ROOMS) {
      progress(`views: ${occupants} occupants`);
      results.push(memoryOfViews(occupants));
    }
    return results;
  },
};

const NAMESPACES = new NamespaceTable(Object.values(NS));

interface Presence {
  readonly nick: string;
  readonly xml: string;
  readonly frame: Frame;
}

function read(nick: string, xml: string): Presence {
  const frame = parseStanza(Buffer.from(xml), NAMESPACES);
  if (!(frame instanceof Frame)) throw new Error(`no stanza: ${xml}`);
  return { nick, xml, frame };
}

function presences(occupants: number): Presence[] {
  return Array.from({ length: occupants }, (_, n) => {
    const { nick, content, jid } = STRANGERS(n);
    return read(
      nick,
      `<presence from='${ROOM}/${nick}' to='${FULL}'>${content}<x xmlns='${NS.mucUser}'><item affiliation='none' role='participant' jid='${jid}'/></x></presence>`,
    );
  });
}

const OWN = read(
  'Juliet',
  `<presence from='${ROOM}/Juliet' to='${FULL}'><x xmlns='${NS.mucUser}'><item affiliation='none' role='participant'/><status code='110'/></x></presence>`,
);

/** As another server, or the same one at another time, would write it. */
function respelled(xml: string): string {
  return xml.replaceAll("affiliation='none' role='participant'", "role='participant' affiliation='none'");
}

function viewOf(all: readonly Presence[], session: string): View {
  const view = View.empty(session);
  for (const { nick, frame } of all) view.here(nick, frame, view.next(0));
  view.here(OWN.nick, OWN.frame, view.next(0));
  view.begin(view.digest.flags);
  return view;
}

function contextFor(): FeatureContext {
  const parts: Partial<FeatureContext> = {
    identity: {
      full: FULL,
      bare: 'juliet@capulet.lit',
      local: 'juliet',
      domain: 'capulet.lit',
      resource: 'balcony',
    },
    send: () => {},
    count: () => {},
    wallClock: () => 0,
  };
  return parts as FeatureContext;
}

/**
 * What a rejoin costs beside reading and writing XML: with the presences as they come, and when all have come.
 * @param percent of the occupants have changed @param spelled how the room writes the others now
 */
function timesOfRejoin(
  suffix: string,
  about: string,
  percent: number,
  spelled: (xml: string) => string,
  rounds: number,
): Result[] {
  const before = presences(OCCUPANTS);
  const view = viewOf(before, SESSION);
  const now = before.map(({ nick, xml }, n) =>
    read(nick, n % 100 < percent ? xml.replace('<c ', '<show>away</show><c ') : spelled(xml)),
  );
  const wish = { dialect: 'session', resume: { session: SESSION, id: view.last } } as const;
  const context = contextFor();
  const taking: number[] = [];
  const answering: number[] = [];
  for (let round = 0; round < rounds + WARMING; round++) {
    const room = new PlayedRoom(context, ROOM, 'Juliet', 'session', View.empty('abcdefgh5678'));
    const held = new HeldJoin(ROOM, 'Juliet', wish, {}, 'abcdefgh');
    held.old = view;
    const begun = performance.now();
    for (const { nick, frame } of now) held.presence(frame, nick, false);
    held.presence(OWN.frame, OWN.nick, true);
    const complete = performance.now();
    const resumed = room.answer(held, { most: 200, default: 20 });
    const over = performance.now();
    if (!resumed || room.view.last !== (OCCUPANTS * percent) / 100 + 1)
      throw new Error('it is no difference');
    if (round < WARMING) continue;
    taking.push(complete - begun);
    answering.push(over - complete);
  }
  const size = OCCUPANTS.toLocaleString('en');
  const fixed = { unit: 'ms', target: DIFFERENCE_MS, better: 'less' } as const;
  const whole = taking.map((time, at) => time + answering[at]!);
  const what = `${percent} % changed, the others ${about}`;
  return [
    overRounds(
      {
        ...fixed,
        name: `difference${suffix}`,
        title: `difference of ${size} occupants, ${percent} % changed`,
        detail: `when all have come: comparing, the new view, and the answer; ${about}`,
      },
      answering,
    ),
    overRounds(
      {
        // For information: most of it is done while the room is still telling who is in it.
        ...{ unit: 'ms', better: 'less' },
        name: `difference-with-digests${suffix}`,
        title: `the same and all that is done as presences come, ${size}`,
        detail: `with digests of all presences and keeping them; ${what}`,
      },
      whole,
    ),
  ];
}

/** Enough views that what the process takes is theirs. */
const OCCUPANTS_IN_ALL = 400_000;

/** A view in its worst state: a tenth of the room has changed places with others, and all that is kept for who comes back is full. */
function worn(view: View, all: readonly Presence[]): void {
  const hash = view.digest.text(view.session);
  const mark = { stanzaIdLo: hash.lo, stanzaIdHi: hash.hi, contentLo: hash.hi, contentHi: hash.lo };
  for (let n = 0; n < 1_000 || n < all.length * 2; n++) {
    const { nick, xml } = all[n % all.length]!;
    const id = view.next(n * 60_000);
    const bytes = Buffer.from(xml);
    view.here(nick, read(nick, xml.replace('<c ', `<status>${n}</status><c `)).frame, id, bytes);
    if (n % 10 === 0) {
      view.trail.add(id, mark, n);
      view.said(id, bytes, n);
    }
    if (n % 5 === 0) view.depart({ nick, id, flags: 17, appeared: 0 });
  }
  const changing = all.filter((_, n) => n % 10 === 0);
  for (const { nick } of changing) view.gone(nick, view.next(0));
  for (const { nick, frame } of changing) view.here(`${nick.slice(0, -1)}+`, frame, view.next(0));
}

function memoryOfViews(occupants: number): Result {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    for (let n = 0; n < 4; n++) collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const all = presences(occupants);
  worn(viewOf(all, SESSION), all);
  const count = Math.ceil(OCCUPANTS_IN_ALL / (occupants < 1_000 ? 4 : 1) / occupants);
  const views: View[] = [];
  const before = used();
  for (let n = 0; n < count; n++) {
    const view = viewOf(all, `abcdefgh${String(n).padStart(4, '0')}`);
    worn(view, all);
    views.push(view);
  }
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
    detail: `heap and buffers of ${count.toLocaleString('en')} views, with changes and departures kept to their limits`,
  };
}
