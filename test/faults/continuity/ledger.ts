/**
 * The judge of the continuity test: a book of every numbered message that was written and of every time
 * one came out somewhere. It knows nothing of XMPP. What counts:
 *
 * - A message counts as soon as its sender saw it acknowledged; where a sender has no stream management
 *   and so cannot know, as soon as it was written.
 * - Each message has audiences: for what is said in a room every device in it, for what is said to a
 *   person the account, because whatever the resource was that it was addressed to, it has to come out
 *   once and on one device. It is *lost* to an audience in which it never came out, or *returned* where
 *   at least its sender was told so by an error.
 * - Another copy is *duplicated*, unless it could not be known that it is one: the sender sent it again
 *   because a broken session had left open whether the first had arrived; or the reader had it in a
 *   session that then ended before his acknowledgement was certain to have been seen; or he asked for it
 *   by joining a room anew with its history, be it before or behind what the room had sent to a session
 *   of his that was not resumed.
 * - It is *disordered* when in the stream in which it first came out (a session, with all its
 *   resumptions) one of the same sequence (sender, kind, addressed JID; RFC 6120 §10.1) was there before that was sent later.
 *   What its sender has sent again was sent at that place too: where only the copy came out, it is behind what was sent
 *   before that. Between two sessions there is no such order: what one of them was too late for is in the next one, dated.
 * - Where what is for a person is for all devices (XMPP 2.0), it is duplicated and disordered on each by itself, and never strays.
 * - It is *strayed* when it came out on another device of the account although the one that it was
 *   addressed to had not been touched since it was written.
 *
 * What goes wrong with a message is put down only to what happened to a session of its reader that was
 * there when it was written, and to the sender's session from then until an error could have reached him.
 */
export type Kind = 'to a resource' | 'to the account' | 'in the room';

export interface Letter {
  id: string;
  sequence: string;
  number: number;
  kind: Kind;
  /** Device that sends it. */
  from: string;
  /** Device that it is addressed to, if it is one. */
  to?: string;
  audiences: readonly string[];
  /** By XMPP 2.0 what is said to a person is said to all devices: it has to come out on one, and on each once. */
  everywhere?: boolean;
}

/** Where and how a message came out. */
export interface Arrival {
  device: string;
  audience: string;
  /** Which of the sessions of this device, and which stanza of it, as stream management counts. */
  session: number;
  ordinal: number;
  /** It came as history of a room that the device has joined anew. */
  history?: boolean;
  /** It came before the server had dealt with the first presence of this session. */
  early?: boolean;
}

/**
 * What can become of a device's session:
 *
 * - `leg lost`: the connection that the server has for it is lost without a word.
 * - `broken off`: the server has kept a session for it, with what was not acknowledged, and it was not
 *   resumed. With a proxy in between that is only so where the server's leg was lost before.
 * - `session over`: to the device itself, in whatever way.
 */
export type Event = 'leg lost' | 'broken off' | 'session over';

/** By so much something may be noticed late, in milliseconds. */
const NOTICED_LATE = 250;
/** How long a server may take to return what it cannot deliver, in milliseconds. */
const RETURNED_LATE = 10_000;

export const WRONGS = ['lost', 'returned', 'duplicated', 'disordered', 'strayed'] as const;
export type Wrong = (typeof WRONGS)[number];

export interface Anomaly {
  wrong: Wrong;
  kind: Kind;
  id: string;
  audience: string;
  /** What happened behind it to those it was for, and to its sender. */
  reader: readonly Event[];
  sender: readonly Event[];
  /**
   * Where it is out of order: what it is behind came before the server had dealt with the first presence of that session, and it is the server
   * that has sent the two in this order.
   */
  behindEarly?: boolean;
  /** Where it is lost: the server has had it, and has never sent it on any connection. */
  unsent?: boolean;
  /** Enough to understand it. */
  detail: string;
  /** What became of the message, with the rounds. */
  trail: readonly string[];
}

export interface Verdict {
  written: number;
  counted: number;
  arrivals: number;
  /** Copies that are nobody's fault, by the reason. */
  excused: { sentAgain: number; uncertain: number; history: number };
  /** Came out although the sender was told by an error that it had not: a false alarm, and no loss. */
  falseAlarms: number;
  anomalies: Anomaly[];
}

interface Entry extends Letter {
  epoch: number;
  written: number;
  counts: boolean;
  resent: number;
  returned?: string;
  /** Its places in its sequence: each time that it was sent has one. */
  places: number[];
  arrivals: (Arrival & { epoch: number })[];
  /** What became of it, and in which round. */
  trail: string[];
}

export class Ledger {
  epoch = 0;
  /** Only for whoever has to understand a failure. */
  round = 0;
  /** Copies that senders have sent again, altogether. */
  resent = 0;
  readonly #entries = new Map<string, Entry>();
  /** How far what each device received in each of its ended sessions was surely acknowledged. */
  readonly #certain = new Map<string, number>();
  readonly #events: { from: number; at: number; what: Event; device: string }[] = [];
  /** How often anything of a sequence has been sent. */
  readonly #sent = new Map<string, number>();
  /** Per audience, stream and sequence the last place up to which it has come out, and what had that. */
  readonly #reached = new Map<string, { place: number; id: string; early: boolean }>();
  readonly #disordered: { entry: Entry; audience: string; detail: string; behindEarly: boolean }[] = [];
  /** The epoch in which a device was last touched. */
  readonly #touched = new Map<string, number>();
  /** Whether the server has sent the one before the other on one connection. */
  serverSentBefore: (earlier: string, later: string) => boolean = () => false;
  /** Whether it has had a message and has never sent it to those. */
  serverKeeps: (id: string, audience: string) => boolean = () => false;
  /** Told of each arrival. */
  onArrival: (() => void) | undefined;

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  get(id: string): Letter {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`nobody wrote ${id}`);
    return entry;
  }

  write(letter: Letter): void {
    const { epoch } = this;
    const blank = { counts: false, resent: 0, places: [], arrivals: [], trail: [] };
    this.#entries.set(letter.id, { ...letter, epoch, written: Date.now(), ...blank });
    this.#takePlace(letter.id);
    this.#note(letter.id, 'written');
  }

  /** From here on it must not get lost. */
  acknowledged(id: string): void {
    const entry = this.#entry(id);
    if (!entry.counts) this.#note(id, 'acknowledged');
    entry.counts = true;
  }

  sentAgain(id: string): void {
    this.#entry(id).resent += 1;
    this.#takePlace(id);
    this.#note(id, 'sent again');
    this.resent += 1;
  }

  returned(id: string, condition: string): void {
    this.#entry(id).returned = condition;
    this.#note(id, `returned ${condition}`);
  }

  /** A session of a device is over, and no later one goes on with its counts. */
  sessionEnded(device: string, session: number, certain: number): void {
    this.#certain.set(`${device} ${session}`, certain);
  }

  /** @param from since when that session has been there; ms */
  happened(what: Event, device: string, from: number): void {
    this.#events.push({ from, at: Date.now(), what, device });
  }

  /** Something was done to a device: whatever comes out elsewhere from now on need not be astray. */
  touched(device: string): void {
    this.#touched.set(device, this.epoch);
  }

  arrived(id: string, arrival: Arrival): void {
    const entry = this.#entry(id);
    const first = !entry.arrivals.some((other) => isSamePlace(entry, other, arrival));
    entry.arrivals.push({ ...arrival, epoch: this.epoch });
    const { device, session, ordinal, history } = arrival;
    this.#note(id, `${history ? 'history of' : 'at'} ${device} session ${session} stanza ${ordinal}`);
    if (first) this.#checkOrder(entry, arrival);
    this.onArrival?.();
  }

  #checkOrder(entry: Entry, { audience, device, session, early = false }: Arrival): void {
    const key = [audience, device, session, entry.sequence].join(' ');
    const reached = this.#reached.get(key) ?? { place: 0, id: '', early: false };
    const { id } = entry;
    const place = entry.places.find((each) => each > reached.place);
    if (place !== undefined) {
      this.#reached.set(key, { place, id, early });
      return;
    }
    const behindEarly = reached.early && this.serverSentBefore(reached.id, id);
    const detail = `behind ${reached.id} in session ${session}${behindEarly ? ', as the server sent it' : ''}`;
    this.#disordered.push({ entry, audience, detail, behindEarly });
  }

  #takePlace(id: string): void {
    const entry = this.#entry(id);
    const place = (this.#sent.get(entry.sequence) ?? 0) + 1;
    this.#sent.set(entry.sequence, place);
    entry.places.push(place);
  }

  /** What counts and has not come out yet. */
  missing(): { id: string; audience: string }[] {
    return [...this.#entries.values()].flatMap((entry) =>
      entry.counts && entry.returned === undefined ? this.#unheard(entry) : [],
    );
  }

  verdict(): Verdict {
    const entries = [...this.#entries.values()];
    const excused = { sentAgain: 0, uncertain: 0, history: 0 };
    const anomalies: Anomaly[] = [];
    for (const entry of entries) {
      if (entry.counts) anomalies.push(...this.#losses(entry));
      for (const arrivals of this.#places(entry)) anomalies.push(...this.#copies(entry, arrivals, excused));
      anomalies.push(...this.#strays(entry));
    }
    return {
      written: entries.length,
      counted: entries.filter((entry) => entry.counts).length,
      arrivals: entries.reduce((sum, entry) => sum + entry.arrivals.length, 0),
      excused,
      falseAlarms: entries.filter((entry) => entry.returned !== undefined && !this.#unheard(entry).length)
        .length,
      anomalies: [
        ...anomalies,
        ...this.#disordered.map((one) => ({
          ...this.#anomaly('disordered', one.entry, one.audience, one.detail),
          behindEarly: one.behindEarly,
          trail: this.#sequenceOf(one.entry),
        })),
      ],
    };
  }

  #losses(entry: Entry): Anomaly[] {
    const wrong = entry.returned === undefined ? 'lost' : 'returned';
    return this.#unheard(entry).map(({ audience }) => {
      const unsent = this.serverKeeps(entry.id, audience);
      const detail = entry.returned ?? (unsent ? 'never sent' : '');
      return { ...this.#anomaly(wrong, entry, audience, detail), unsent };
    });
  }

  /** Where it was to come out once, each with the times that it did. */
  #places(entry: Entry): Entry['arrivals'][] {
    const places: Entry['arrivals'][] = [];
    for (const arrival of entry.arrivals) {
      const place = places.find(([first]) => first !== undefined && isSamePlace(entry, first, arrival));
      if (place === undefined) places.push([arrival]);
      else place.push(arrival);
    }
    return places;
  }

  #copies(entry: Entry, arrivals: Entry['arrivals'], excused: Verdict['excused']): Anomaly[] {
    let { resent } = entry;
    /** Copies that take the place of an earlier one. */
    let repeated = 0;
    /** Copies of what had come as history. */
    let known = 0;
    const anomalies: Anomaly[] = [];
    for (const [at, copy] of arrivals.entries()) {
      if (at === 0) continue;
      const before = arrivals.slice(0, at);
      const histories = before.filter(({ history }) => history).length;
      if (copy.history) {
        excused.history += 1;
      } else if (histories > known && this.#wasBrokenOff(entry, copy.device)) {
        known += 1;
        excused.history += 1;
      } else if (before.filter((other) => this.#leftOpen(other, copy)).length > repeated) {
        repeated += 1;
        excused.uncertain += 1;
      } else if (resent > 0) {
        resent -= 1;
        excused.sentAgain += 1;
      } else {
        const path = arrivals.map((one) => `${one.device} session ${one.session} stanza ${one.ordinal}`);
        anomalies.push(this.#anomaly('duplicated', entry, copy.audience, path.join(', then ')));
      }
    }
    return anomalies;
  }

  /** Whether a server may have had it for a session of this device that was not resumed: ejabberd gives that to the next one. */
  #wasBrokenOff({ written }: Entry, device: string): boolean {
    return this.#events.some(
      ({ what, device: whose, from, at }) =>
        what === 'broken off' && whose === device && from <= written && at >= written,
    );
  }

  /** Whether nobody but the reader could know, when a later session began, that he had it already. */
  #leftOpen(earlier: Arrival, copy: Arrival): boolean {
    if (earlier.device === copy.device && earlier.session === copy.session) return false;
    const certain = this.#certain.get(`${earlier.device} ${earlier.session}`);
    return certain !== undefined && earlier.ordinal > certain;
  }

  #strays(entry: Entry): Anomaly[] {
    const first = entry.arrivals[0];
    if (!entry.to || !first || first.device === entry.to) return [];
    if ((this.#touched.get(entry.to) ?? -1) >= entry.epoch) return [];
    return [this.#anomaly('strayed', entry, first.audience, `on ${first.device}`)];
  }

  #unheard(entry: Entry): { id: string; audience: string }[] {
    return entry.audiences
      .filter((audience) => !entry.arrivals.some((arrival) => arrival.audience === audience))
      .map((audience) => ({ id: entry.id, audience }));
  }

  #anomaly(wrong: Wrong, entry: Entry, audience: string, detail: string): Anomaly {
    const { id, kind } = entry;
    return {
      ...{ wrong, kind, id, audience, detail: `epoch ${entry.epoch} ${detail}`.trim(), trail: entry.trail },
      ...this.#causes(entry, audience),
    };
  }

  #causes(entry: Entry, audience: string): Pick<Anomaly, 'reader' | 'sender'> {
    const behind = this.#events.filter(
      ({ from, at }) => at >= entry.written - NOTICED_LATE && from <= entry.written,
    );
    // What is done to one device of an account is felt by the other, to which servers then give its share.
    const account = audience.split('.')[0] ?? audience;
    const reader = behind.filter(({ device }) => device.startsWith(`${account}.`));
    const until = Math.max(
      entry.written,
      ...reader.filter(({ what }) => what === 'broken off').map(({ at }) => at),
    );
    const sender = behind.filter(({ device, at }) => device === entry.from && at <= until + RETURNED_LATE);
    const names = (events: readonly { what: Event }[]) => [...new Set(events.map(({ what }) => what))].sort();
    return { reader: names(reader), sender: names(sender) };
  }

  /** What became of the whole sequence that it belongs to, as far as it was near. */
  #sequenceOf({ sequence, number }: Entry): string[] {
    return [...this.#entries.values()]
      .filter((other) => other.sequence === sequence && Math.abs(other.number - number) <= 10)
      .map((other) => `${other.id}: ${other.trail.join('; ')}`);
  }

  #note(id: string, what: string): void {
    this.#entry(id).trail.push(`round ${this.round}: ${what}`);
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`nobody wrote ${id}`);
    return entry;
  }
}

function isSamePlace({ everywhere }: Letter, one: Arrival, other: Arrival): boolean {
  return one.audience === other.audience && (everywhere !== true || one.device === other.device);
}
