import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { addressShapes } from '../jid.js';
import type { XmlError } from '../xml/errors.js';
import { Frame } from '../xml/frame.js';
import { MADE_HERE } from '../xml/limits.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import { Splice } from '../xml/splice.js';
import { parseStanza } from '../xml/tokenizer.js';
import { frameToElement } from '../xml/tree.js';
import type {
  AddressShape,
  Direction,
  Feature,
  FeatureContext,
  FeatureSession,
  Knowledge,
  KnowledgeKey,
  PassingStanza,
  SessionIdentity,
  Verdict,
} from './feature.js';
import { type CommonInterests, commonInterestsKey, type Interest } from './interests.js';
import { type CompiledWatch, type LaneTable, LaneTables } from './lanes.js';
import type { Reason } from './reasons.js';

/** What came of a stanza. */
export type Outcome =
  | { readonly kind: 'pass' }
  | { readonly kind: 'changed'; readonly bytes: Buffer; readonly reason: Reason }
  | { readonly kind: 'dropped' | 'handled'; readonly reason: Reason };

export const PASSED: Outcome = { kind: 'pass' };

const NO_WATCHES: readonly CompiledWatch[] = [];

/**
 * The features of a domain and the one table made from what they watch. Built at start; immutable. Stanzas on their way to the server meet
 * the features in the order of the list, those to the client in the opposite order, so that the list is a nesting; knowledge comes
 * first in both directions.
 */
export class Pipeline {
  readonly features: readonly Feature[];
  readonly amendsDisco: boolean;
  /** So many of the features, the first ones, are knowledge. */
  readonly knowledge: number;
  readonly tables: LaneTables;

  constructor(
    features: readonly Feature[],
    readonly namespaces: NamespaceTable,
  ) {
    const knowledge: Knowledge<FeatureSession>[] = [];
    for (const feature of features) addKnowledge(feature, knowledge);
    this.knowledge = knowledge.length;
    // What others need is opened once, as knowledge, even when it is in the list on its own account.
    const own = features.filter((feature) => !knowledge.some((needed) => needed === feature));
    this.features = [...knowledge, ...own];
    this.amendsDisco = features.some((feature) => feature.amendsDisco === true);
    this.tables = new LaneTables(this.features, this.knowledge, namespaces);
  }
}

/** Namespaces that the features of a list watch for, to be put into the table of known ones. */
export function watchedNamespaces(features: readonly Feature[]): string[] {
  const knowledge: Knowledge<FeatureSession>[] = [];
  for (const feature of features) addKnowledge(feature, knowledge);
  return [...knowledge, ...features].flatMap((feature) =>
    feature.watches.flatMap((watch) => (watch.child === undefined ? [] : [watch.child.namespace])),
  );
}

function addKnowledge(feature: Feature, into: Knowledge<FeatureSession>[]): void {
  for (const needed of feature.needs ?? []) {
    if (into.includes(needed)) continue;
    addKnowledge(needed, into);
    into.push(needed);
  }
}

/** The features of one bound session at work. */
export class PipelineSession {
  readonly instances: readonly FeatureSession[];
  readonly #shapeOf: (address: string | undefined) => AddressShape | undefined;
  /** What is of interest to this session alone; bits. */
  #interests = 0;
  /** By that, and by what is of interest to all. */
  #table: LaneTable;
  readonly #common: CommonInterests | undefined;
  #commonVersion = 0;
  /** The stanza that is compared with the watches, and what has been read of it. */
  #frame: Frame | undefined;
  #direction: Direction = 'to-server';
  #type: string | undefined;
  #shape: AddressShape | 'none' | undefined;

  constructor(
    readonly pipeline: Pipeline,
    identity: SessionIdentity,
    contextFor: (feature: Feature, session: PipelineSession) => FeatureContext,
    /** By name, of a process before. */
    snapshots: Readonly<Record<string, string>> = {},
  ) {
    this.#shapeOf = addressShapes(identity);
    this.#table = pipeline.tables.table(0);
    const instances: FeatureSession[] = [];
    this.instances = instances;
    for (const feature of pipeline.features) {
      const context = contextFor(feature, this);
      this.#common ??= context.domain.shared(commonInterestsKey);
      instances.push(feature.open(context, snapshots[feature.name]));
    }
    this.#chooseTable();
  }

  /** Switches an interest of this session on or off. */
  attend(interest: Interest, on: boolean): void {
    const bit = this.pipeline.tables.bitOf(interest);
    const interests = on ? this.#interests | bit : this.#interests & ~bit;
    if (interests === this.#interests) return;
    this.#interests = interests;
    this.#chooseTable();
  }

  #chooseTable(): void {
    const { tables } = this.pipeline;
    let interests = this.#interests;
    for (const interest of this.#common?.on ?? []) interests |= tables.bitOf(interest);
    this.#table = tables.table(interests);
    this.#commonVersion = this.#common?.version ?? 0;
  }

  /** By what is of interest right now. */
  #currentTable(): LaneTable {
    if (this.#common !== undefined && this.#common.version !== this.#commonVersion) this.#chooseTable();
    return this.#table;
  }

  /** What the features want to know again when the session is gone on with by another process, by their names. */
  snapshots(): Record<string, string> {
    const all: Record<string, string> = {};
    this.pipeline.features.forEach(({ name }, index) => {
      const snapshot = this.instances[index]!.snapshot?.();
      if (snapshot !== undefined) all[name] = snapshot;
    });
    return all;
  }

  /** Shows a stanza to the knowledge alone. */
  show(direction: Direction, frame: Frame, now: number): void {
    const lanes = this.pipeline.tables.all[direction][frame.kind];
    if (lanes === undefined) return;
    const stanza = new Passing(direction, frame, now, this.pipeline.namespaces);
    let done = -1;
    this.#looksAt(direction, frame);
    for (const watch of lanes.watches) {
      if (watch.feature >= this.pipeline.knowledge) break;
      if (watch.feature === done || !this.#matches(watch)) continue;
      done = watch.feature;
      this.instances[watch.feature]!.onStanza?.(stanza, watch.watch);
    }
    this.#frame = undefined;
  }

  /** State of a knowledge module; throws when the feature has not named it in `needs`, which is a mistake in the program. */
  know<T>(feature: Feature, key: KnowledgeKey<T>): T {
    const isIt = (needed: Knowledge<FeatureSession>) => (needed.key as KnowledgeKey<unknown>) === key;
    const index = this.pipeline.features.findIndex(
      (candidate) => 'key' in candidate && candidate.key === key,
    );
    if (index < 0 || feature.needs?.some(isIt) !== true) {
      throw new Error(`${feature.name} asks for ${key.name} without needing it`);
    }
    return this.instances[index] as T;
  }

  /** Takes a stanza that a feature sends in the name of the other side through the features that are farther on its way. */
  handleBehind(feature: Feature, direction: Direction, frame: Frame, now: number): Outcome {
    const { features, knowledge } = this.pipeline;
    const sender = features.indexOf(feature);
    const watches = this.#currentTable()[direction][frame.kind]?.watches ?? NO_WATCHES;
    const isBehind =
      direction === 'to-server'
        ? (watch: CompiledWatch) => watch.feature > sender
        : (watch: CompiledWatch) => watch.feature < sender && watch.feature >= knowledge;
    this.#looksAt(direction, frame);
    const outcome = this.#through(watches.filter(isBehind), direction, frame, now, true);
    this.#frame = undefined;
    return outcome;
  }

  /** Takes a stanza through all features that watch for it. */
  handle(direction: Direction, frame: Frame, now: number): Outcome {
    const watches = this.#currentTable()[direction][frame.kind]?.of(frame);
    if (watches === undefined) return PASSED;
    this.#looksAt(direction, frame);
    const outcome = this.#through(watches, direction, frame, now);
    // Nothing of it is kept while the session is idle.
    this.#frame = undefined;
    return outcome;
  }

  #through(
    fitting: readonly CompiledWatch[],
    direction: Direction,
    frame: Frame,
    now: number,
    isOurs = false,
  ): Outcome {
    let watches = fitting;
    let stanza: Passing | undefined;
    let reason: Reason | undefined;
    let done = -1;
    for (let i = 0; i < watches.length; i++) {
      const watch = watches[i]!;
      // A feature is asked once, for the first of its patterns that fits.
      if (watch.feature === done) continue;
      // Edited bytes are read again only when somebody may want to see them.
      if (stanza?.cannotHave(watch) === true) continue;
      const current: Frame = stanza?.settled() ?? frame;
      if (current !== this.#frame) this.#looksAt(direction, current);
      if (!this.#matches(watch)) continue;
      done = watch.feature;
      const instance = this.instances[watch.feature]!;
      if (instance.onStanza === undefined) continue;
      stanza ??= new Passing(direction, frame, now, this.pipeline.namespaces, isOurs);
      const table = this.#table;
      const verdict: Verdict = instance.onStanza(stanza, watch.watch);
      if (verdict.action === 'drop') return { kind: 'dropped', reason: verdict.reason };
      if (verdict.action === 'handled') return { kind: 'handled', reason: verdict.reason };
      if (verdict.action === 'edit') {
        reason = verdict.reason;
        stanza.keepEdits();
      } else if (verdict.action === 'replace') {
        if (verdict.isFinal === true)
          return { kind: 'changed', bytes: verdict.bytes, reason: verdict.reason };
        reason = verdict.reason;
        stanza.replace(verdict.bytes);
      } else {
        stanza.forgetEdits();
      }
      if (verdict.action === 'pass' && this.#currentTable() === table) continue;
      // Others may watch for what the stanza is now, or for what is of interest now.
      const lanes = this.#currentTable()[direction][frame.kind];
      watches = lanes?.watches ?? NO_WATCHES;
      i = (lanes?.behind(watch.position) ?? 0) - 1;
    }
    if (stanza === undefined || reason === undefined) return PASSED;
    return { kind: 'changed', bytes: stanza.bytes(), reason };
  }

  /** A stanza is compared with what is watched for: what has been read of it once is not read again for the next watch. */
  #looksAt(direction: Direction, frame: Frame): void {
    this.#frame = frame;
    this.#direction = direction;
    this.#type = undefined;
    this.#shape = undefined;
  }

  #matches(watch: CompiledWatch): boolean {
    const frame = this.#frame!;
    if (watch.types !== undefined) {
      this.#type ??= frame.type ?? '';
      if (!watch.types.includes(this.#type)) return false;
    }
    if (watch.childNamespace !== 0 && !hasChild(frame, watch.childNamespace, watch.childName)) return false;
    if (watch.address !== undefined) {
      this.#shape ??= this.#shapeOf(this.#direction === 'to-server' ? frame.to : frame.from) ?? 'none';
      if (this.#shape === 'none' || !watch.address.includes(this.#shape)) return false;
    }
    return true;
  }
}

function hasChild(frame: Frame, namespace: number, name: string | undefined): boolean {
  for (let i = 0; i < frame.childCount; i++) {
    if (frame.childNamespaceId(i) !== namespace) continue;
    if (name === undefined || frame.childName(i) === name) return true;
  }
  return false;
}

class Passing implements PassingStanza {
  /** Being made; counts only with an `edit` verdict. */
  #splice: Splice | undefined;
  /** Made, and not read again yet. */
  #kept: Splice | undefined;
  /** What stands in its place, and has not been read yet. */
  #replacement: Buffer | undefined;

  constructor(
    readonly direction: Direction,
    public frame: Frame,
    readonly now: number,
    private readonly namespaces: NamespaceTable,
    readonly isOurs = false,
  ) {}

  edit(): Splice {
    this.#splice ??= new Splice(this.frame);
    return this.#splice;
  }

  tree(): Element {
    return frameToElement(this.frame);
  }

  /** Puts another stanza in its place, for later features too; they are why it is read again, if any wants to see it. */
  replace(bytes: Buffer): void {
    this.#replacement = bytes;
    this.#kept = undefined;
    this.#splice = undefined;
  }

  /** The edits that have been made count. */
  keepEdits(): void {
    this.#kept = this.#splice?.touched === true ? this.#splice : undefined;
    this.#splice = undefined;
  }

  /** The edits since the last that counted do not. */
  forgetEdits(): void {
    this.#splice = undefined;
  }

  /** Whether the edits cannot have made the stanza one that this watch is for, and it was none before. */
  cannotHave(watch: CompiledWatch): boolean {
    if (this.#kept === undefined || watch.childNamespace === 0) return false;
    return !this.#kept.mayHaveChild(watch.childNamespace);
  }

  /** The stanza as it has been edited. */
  settled(): Frame {
    const derived = this.#kept?.toFrame();
    if (derived !== undefined) {
      this.frame = derived;
      this.#kept = undefined;
      return derived;
    }
    const bytes = this.#replacement ?? this.#kept?.toBuffer();
    if (bytes === undefined) return this.frame;
    const edited: Frame | XmlError = parseStanza(bytes, this.namespaces, { limits: MADE_HERE });
    if (!(edited instanceof Frame)) throw new Error(`an edit broke a stanza: ${edited.reason}`);
    this.frame = edited;
    this.#kept = undefined;
    this.#replacement = undefined;
    return edited;
  }

  bytes(): Buffer {
    return this.#replacement ?? this.#kept?.toBuffer() ?? this.frame.bytes();
  }
}
