import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';

const MANAGEMENT: readonly string[] = [NS.sm2, NS.sm3];

/** Something that went over one of the two legs of a session. */
export interface Passage {
  /** Whose session it is. */
  readonly who: string;
  /** Between client and proxy, or between proxy and server. */
  readonly leg: 'client' | 'server';
  readonly direction: 'to-server' | 'to-client';
  readonly kind: 'header' | 'element' | 'end';
  /** As it was written, for telling whether it came through unchanged. */
  readonly xml: string;
  readonly element: Element | undefined;
  /** Milliseconds since the demo began. */
  readonly at: number;
}

/** The same stanza on both legs, or one that was on one leg only. */
export interface Crossing {
  readonly passage: Passage;
  /** It left the proxy as it came. */
  readonly through: boolean;
  /** What the proxy did or said instead; undefined: nothing to be said. */
  readonly note: string | undefined;
}

/** What has been seen on both legs, in order; scenes take out what belongs to them. */
export class Traffic {
  #passages: Passage[] = [];
  /** By session: the last features and the last counts of the server leg, which those of the client leg are made from. */
  readonly #features = new Map<string, Element>();
  readonly #counts = new Map<string, string>();
  #began: number | undefined;
  /** When set, each passage goes here as it happens and is not kept. */
  onPassage: ((passage: Passage) => void) | undefined;

  record(passage: Omit<Passage, 'at'>): void {
    this.#began ??= Date.now();
    const timed = { ...passage, at: Date.now() - this.#began };
    if (this.onPassage !== undefined) this.onPassage(timed);
    else this.#passages.push(timed);
  }

  /** All that has been seen since the last call, paired by leg. */
  take(): Crossing[] {
    const passages = this.#passages;
    this.#passages = [];
    const paired = new Set<Passage>();
    const crossings: Crossing[] = [];
    for (const [index, passage] of passages.entries()) {
      if (paired.has(passage)) continue;
      const twin = passages.slice(index + 1).find((other) => !paired.has(other) && isTwin(passage, other));
      if (twin !== undefined) paired.add(twin);
      const note = twin === undefined ? this.#note(passage) : undefined;
      this.#remember(passage);
      crossings.push({ passage, through: twin !== undefined, note });
    }
    return crossings;
  }

  #remember({ who, leg, direction, element }: Passage): void {
    if (element === undefined) return;
    const name = element.getName();
    if (leg === 'server' && name === 'features') this.#features.set(who, element);
    if (name === 'a') this.#counts.set(`${who} ${leg} ${direction}`, String(element.attrs.h ?? ''));
  }

  #note({ who, leg, direction, kind, element }: Passage): string | undefined {
    if (kind === 'header') {
      return leg === 'client' && direction === 'to-server' ? 'a new stream on this leg only' : undefined;
    }
    if (element === undefined) return undefined;
    const name = element.getName();
    const countOf = (other: Passage['leg']) => this.#counts.get(`${who} ${other} ${direction}`);
    const acknowledges = (whom: string) => {
      const own = String(element.attrs.h ?? '');
      return own === countOf(leg)
        ? 'nothing new yet'
        : translated(own, countOf(leg === 'client' ? 'server' : 'client'), whom);
    };
    const upwards = direction === 'to-server';
    if (leg === 'client') {
      switch (name) {
        case 'starttls':
          return 'TLS begins on this leg; the other one is not touched';
        case 'features':
          return rewritten(this.#features.get(who), element);
        case 'enable':
          return 'taken by the proxy: stream management ends on each leg';
        case 'r':
          return upwards
            ? 'answered by the proxy, with what is true now'
            : 'the proxy asks, for the server has asked';
        case 'a':
          return upwards ? undefined : acknowledges('the server has said');
        default:
          return undefined;
      }
    }
    switch (name) {
      case 'enable':
        return "the proxy's own: used whenever the server has it";
      case 'r':
        return upwards ? `the proxy asks, for ${who} has asked` : undefined;
      case 'a':
        return upwards ? acknowledges(`${who} has said`) : undefined;
      case 'iq':
        return upwards
          ? 'a question of the proxy, once for all sessions of a server'
          : 'the answer, which is for the proxy';
      default:
        return undefined;
    }
  }
}

/** One leg's copy of what another leg carried. Headers are each leg's own; they are twins when one stands for the other. */
function isTwin(a: Passage, b: Passage): boolean {
  // What stream management says on one leg is never what it says on the other, even where the bytes are the same.
  if (MANAGEMENT.includes(a.element?.getNS() ?? '')) return false;
  if (a.who !== b.who || a.direction !== b.direction || a.leg === b.leg || a.kind !== b.kind) return false;
  const first = a.direction === 'to-server' ? 'client' : 'server';
  if (a.leg !== first) return false;
  return a.kind !== 'element' || a.xml === b.xml;
}

/** `<r/>` and `<a/>` of stream management, which each leg has for itself. */
export function isAcknowledgement({ element }: Passage): boolean {
  if (element === undefined || !MANAGEMENT.includes(element.getNS() ?? '')) return false;
  return element.getName() === 'r' || element.getName() === 'a';
}

function translated(own: string, other: string | undefined, who: string): string {
  if (other === undefined) return `${who} nothing yet`;
  return own === other
    ? `${who} h=${other}`
    : `${who} h=${other}, which is h=${own} in the count of this leg`;
}

/** What the proxy has made of the server's features. */
function rewritten(server: Element | undefined, shown: Element): string {
  const keys = (features: Element) =>
    features.getChildElements().map((child) => `${child.getName()} ${child.getNS()}`);
  const starttls = shown.getChild('starttls', NS.tls);
  if (server === undefined || (starttls !== undefined && shown.getChildElements().length === 1)) {
    return "the proxy's own: TLS first, whatever the server asks for";
  }
  const before = keys(server);
  const after = keys(shown);
  const taken = before.filter((key) => !after.includes(key)).map(firstWord);
  const added = after.filter((key) => !before.includes(key)).map(firstWord);
  const parts = [
    ...(taken.length > 0 ? [`${taken.join(', ')} taken out`] : []),
    ...(added.length > 0 ? [`${added.join(', ')} added`] : []),
    ...(after.some((key) => key.startsWith('sm ')) ? ["sm is the proxy's own"] : []),
  ];
  return parts.length === 0 ? "the server's own, as they are" : `rewritten: ${parts.join('; ')}`;
}

function firstWord(key: string): string {
  return key.slice(0, key.indexOf(' '));
}
