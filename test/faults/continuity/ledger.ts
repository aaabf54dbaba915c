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
 *   by joining a room anew with its history.
 * - It is *disordered* when on the device where it first came out a later one of the same sequence
 *   (sender, kind, addressee) was there before.
 * - It is *strayed* when it came out on another device of the account although the one that it was
 *   addressed to had not been touched since it was written.
 *
 * Time is counted in epochs: at the end of each everybody is there and everything has been acknowledged,
 * so that what goes wrong with a message is put down to what was done in its epoch to those it was for.
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
}

export const WRONGS = ['lost', 'returned', 'duplicated', 'disordered', 'strayed'] as const;
export type Wrong = (typeof WRONGS)[number];

export interface Anomaly {
  wrong: Wrong;
  kind: Kind;
  id: string;
  audience: string;
  /** What was done meanwhile to those it was for, to its sender, and to the way between. */
  reader: string[];
  sender: string[];
  /** Enough to understand it. */
  detail: string;
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
  counts: boolean;
  resent: number;
  returned?: string;
  arrivals: (Arrival & { epoch: number })[];
}

export class Ledger {
  epoch = 0;
  /** Copies that senders have sent again, altogether. */
  resent = 0;
  readonly #entries = new Map<string, Entry>();
  /** How far what each device received in each of its ended sessions was surely acknowledged. */
  readonly #certain = new Map<string, number>();
  readonly #done: { epoch: number; what: string; device: string | undefined }[] = [];
  /** Per audience, device and sequence the highest number that has come out; and what was behind it. */
  readonly #highest = new Map<string, number>();
  readonly #disordered: Anomaly[] = [];
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
    this.#entries.set(letter.id, { ...letter, epoch: this.epoch, counts: false, resent: 0, arrivals: [] });
  }

  /** From here on it must not get lost. */
  acknowledged(id: string): void {
    this.#entry(id).counts = true;
  }

  sentAgain(id: string): void {
    this.#entry(id).resent += 1;
    this.resent += 1;
  }

  returned(id: string, condition: string): void {
    this.#entry(id).returned = condition;
  }

  /** A session of a device is over, and no later one goes on with its counts. */
  sessionEnded(device: string, session: number, certain: number): void {
    this.#certain.set(`${device} ${session}`, certain);
  }

  /** Something was done to a device, or to all. */
  happened(what: string, device?: string): void {
    this.#done.push({ epoch: this.epoch, what, device });
  }

  arrived(id: string, arrival: Arrival): void {
    const entry = this.#entry(id);
    const first = !entry.arrivals.some((other) => other.audience === arrival.audience);
    entry.arrivals.push({ ...arrival, epoch: this.epoch });
    if (first) this.#checkOrder(entry, arrival);
    this.onArrival?.();
  }

  #checkOrder(entry: Entry, { audience, device }: Arrival): void {
    const key = [audience, device, entry.sequence].join(' ');
    const highest = this.#highest.get(key) ?? -1;
    if (entry.number > highest) this.#highest.set(key, entry.number);
    else this.#disordered.push(this.#anomaly('disordered', entry, audience, `behind number ${highest}`));
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
      for (const audience of entry.audiences) anomalies.push(...this.#copies(entry, audience, excused));
      anomalies.push(...this.#strays(entry));
    }
    return {
      written: entries.length,
      counted: entries.filter((entry) => entry.counts).length,
      arrivals: entries.reduce((sum, entry) => sum + entry.arrivals.length, 0),
      excused,
      falseAlarms: entries.filter((entry) => entry.returned !== undefined && !this.#unheard(entry).length)
        .length,
      anomalies: [...anomalies, ...this.#disordered],
    };
  }

  #losses(entry: Entry): Anomaly[] {
    const wrong = entry.returned === undefined ? 'lost' : 'returned';
    return this.#unheard(entry).map(({ audience }) =>
      this.#anomaly(wrong, entry, audience, entry.returned ?? ''),
    );
  }

  #copies(entry: Entry, audience: string, excused: Verdict['excused']): Anomaly[] {
    const arrivals = entry.arrivals.filter((arrival) => arrival.audience === audience);
    let resent = entry.resent;
    const anomalies: Anomaly[] = [];
    for (const [at, copy] of arrivals.entries()) {
      if (at === 0) continue;
      const before = arrivals.slice(0, at);
      if (copy.history) {
        excused.history += 1;
      } else if (before.every((other) => this.#leftOpen(other, copy))) {
        excused.uncertain += 1;
      } else if (resent > 0) {
        resent -= 1;
        excused.sentAgain += 1;
      } else {
        const path = arrivals.map((one) => `${one.device} session ${one.session} stanza ${one.ordinal}`);
        anomalies.push(this.#anomaly('duplicated', entry, audience, path.join(', then ')));
      }
    }
    return anomalies;
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
    if (this.#causes(entry, [entry.to]).length > 0) return [];
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
      ...{ wrong, kind, id, audience, detail: `epoch ${entry.epoch} ${detail}`.trim() },
      // What is done to one device of an account is felt by the other, to which servers then give its share.
      reader: this.#causes(entry, [audience.split('.')[0] ?? audience]),
      sender: this.#causes(entry, [entry.from]),
    };
  }

  #causes(entry: Entry, devices: readonly string[]): string[] {
    const touched = this.#done.filter(
      ({ epoch, device }) =>
        epoch === entry.epoch &&
        (device === undefined || devices.some((one) => device === one || device.startsWith(`${one}.`))),
    );
    return [...new Set(touched.map(({ what }) => what))].sort();
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`nobody wrote ${id}`);
    return entry;
  }
}
