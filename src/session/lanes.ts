import { type Frame, StanzaKind } from '../xml/frame.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import type { AddressShape, Direction, Feature, Watch } from './feature.js';
import type { Interest } from './interests.js';

/** A watch as the table holds it. */
export interface CompiledWatch {
  /** In the order in which the features are asked about this kind of stanza in this direction, the same in all tables. */
  readonly position: number;
  readonly feature: number;
  readonly watch: number;
  /** Undefined also where the lane is only for stanzas of these. */
  readonly types: readonly string[] | undefined;
  /** Number of the child's namespace; 0 when no child is asked for. */
  readonly childNamespace: number;
  readonly childName: string | undefined;
  readonly address: readonly AddressShape[] | undefined;
  /** Bits of the interests that it is for; 0: it is always asked. */
  readonly interests: number;
}

const KINDS: { readonly [name in Watch['stanza']]: StanzaKind } = {
  message: StanzaKind.Message,
  presence: StanzaKind.Presence,
  iq: StanzaKind.Iq,
};

/** Watches that are asked one after the other. */
class Lane {
  /** By namespace number: 1 when a watch asks for such a child. Undefined when some watch does not depend on children. */
  readonly #children: Uint8Array | undefined;

  constructor(
    readonly watches: readonly CompiledWatch[],
    namespaces: NamespaceTable,
  ) {
    if (watches.some((watch) => watch.childNamespace === 0)) return;
    this.#children = new Uint8Array(namespaces.size);
    for (const watch of watches) this.#children[watch.childNamespace] = 1;
  }

  mayFit(frame: Frame): boolean {
    const children = this.#children;
    if (children === undefined) return true;
    for (let i = 0; i < frame.childCount; i++) if (children[frame.childNamespaceId(i)] === 1) return true;
    return false;
  }
}

/** All that is watched for one kind of stanza in one direction, while certain interests are on. */
export class KindLanes {
  /** Whatever type the stanza has. */
  readonly watches: readonly CompiledWatch[];
  /** The types that some watch asks for by name. */
  readonly #types: readonly string[];
  /** For stanzas of each of them, and at the end for all others. */
  readonly #byType: readonly (Lane | undefined)[];

  constructor(watches: readonly CompiledWatch[], namespaces: NamespaceTable) {
    this.watches = watches;
    this.#types = [...new Set(watches.flatMap(({ types }) => types ?? []))];
    this.#byType = [...this.#types, undefined].map((type) => {
      const fitting = watches
        .filter(({ types }) => types === undefined || (type !== undefined && types.includes(type)))
        .map((watch) => ({ ...watch, types: undefined }));
      return fitting.length === 0 ? undefined : new Lane(fitting, namespaces);
    });
  }

  /** The watches that may fit a stanza, its type looked at already; undefined when nobody can be interested in it. */
  of(frame: Frame): readonly CompiledWatch[] | undefined {
    const types = this.#types;
    const at = types.length === 0 ? 0 : frame.attributeAmong('type', types);
    const lane = this.#byType[at < 0 ? types.length : at];
    return lane?.mayFit(frame) === true ? lane.watches : undefined;
  }

  /** Where in `watches` those begin that come behind a position. */
  behind(position: number): number {
    const at = this.watches.findIndex((watch) => watch.position > position);
    return at < 0 ? this.watches.length : at;
  }
}

/** One table: by direction and kind, undefined where nobody watches. */
export type LaneTable = { readonly [direction in Direction]: readonly (KindLanes | undefined)[] };

/** Combinations of interests for which there is a table; for more of them there is only the one of all. */
const MOST_TABLES = 64;
/** A combination is a number of so many bits. */
const MOST_INTERESTS = 30;

/** The tables of a pipeline, one for each combination of interests that some session has had. */
export class LaneTables {
  readonly #watches: { readonly [direction in Direction]: readonly (readonly CompiledWatch[])[] };
  readonly #bits = new Map<Interest, number>();
  readonly #tables = new Map<number, LaneTable>();
  /** In which everybody is asked. */
  readonly all: LaneTable;

  /** @param knowledge so many of the features, the first ones, are knowledge, which comes first in both directions */
  constructor(
    private readonly features: readonly Feature[],
    private readonly knowledge: number,
    private readonly namespaces: NamespaceTable,
  ) {
    this.#watches = { 'to-server': this.#compile('to-server'), 'to-client': this.#compile('to-client') };
    this.all = this.#tableOf(-1);
  }

  /** The bit that stands for an interest; 0 when nothing here is for it. */
  bitOf(interest: Interest): number {
    return this.#bits.get(interest) ?? 0;
  }

  /** @param interests the bits of those that are on */
  table(interests: number): LaneTable {
    let table = this.#tables.get(interests);
    if (table === undefined) {
      // To be asked for nothing does no harm.
      if (this.#tables.size >= MOST_TABLES) return this.all;
      table = this.#tableOf(interests);
      this.#tables.set(interests, table);
    }
    return table;
  }

  #tableOf(on: number): LaneTable {
    const lanesOf = (direction: Direction) =>
      this.#watches[direction].map((all) => {
        const watches = all.filter(({ interests }) => interests === 0 || (interests & on) !== 0);
        return watches.length === 0 ? undefined : new KindLanes(watches, this.namespaces);
      });
    return { 'to-server': lanesOf('to-server'), 'to-client': lanesOf('to-client') };
  }

  #compile(direction: Direction): (readonly CompiledWatch[])[] {
    const all = this.features.map((_, index) => index);
    const own = all.slice(this.knowledge);
    const order = [...all.slice(0, this.knowledge), ...(direction === 'to-server' ? own : own.reverse())];
    const byKind: (readonly CompiledWatch[])[] = [[], [], [], []];
    for (const kind of Object.values(KINDS)) {
      const watches = order.flatMap((feature) => this.#watchesOf(feature, direction, kind));
      byKind[kind] = watches.map((watch, position) => ({ ...watch, position }));
    }
    return byKind;
  }

  #watchesOf(feature: number, direction: Direction, kind: StanzaKind): Omit<CompiledWatch, 'position'>[] {
    return this.features[feature]!.watches.flatMap((watch, index) => {
      if (watch.direction !== direction || KINDS[watch.stanza] !== kind) return [];
      return {
        feature,
        watch: index,
        types: watch.types,
        childNamespace: watch.child === undefined ? 0 : this.namespaces.id(watch.child.namespace),
        childName: watch.child?.name,
        address: watch.address,
        interests: this.#bitsOf(watch.when ?? []),
      };
    });
  }

  #bitsOf(interests: readonly Interest[]): number {
    let bits = 0;
    for (const interest of interests) {
      let bit = this.#bits.get(interest);
      if (bit === undefined) {
        if (this.#bits.size >= MOST_INTERESTS) throw new Error(`${interest.name} is one interest too many`);
        bit = 1 << this.#bits.size;
        this.#bits.set(interest, bit);
      }
      bits |= bit;
    }
    return bits;
  }
}
