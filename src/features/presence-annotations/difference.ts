import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { inClientNamespace } from './foreign-room.js';

/** Attributes that say how a presence came, not what it says. */
const OF_THE_WAY: ReadonlySet<string> = new Set(['to', 'id', 'xml:lang']);

/** What a client that thinks it never left does not know yet of the occupants of a room it was brought back into. */
export class OccupantDifference {
  readonly #seen = new Set<string>();

  /** @param before the occupants as the client knows them: nick (prepared) and presence */
  constructor(private readonly before: ReadonlyMap<string, Buffer>) {}

  /** An occupant is there. @returns whether it is news to the client */
  isNews(nick: string, presence: Buffer): boolean {
    this.#seen.add(nick);
    const known = this.before.get(nick);
    if (known === undefined) return true;
    return !known.equals(presence) && meaning(known) !== meaning(presence);
  }

  /** Those that are not there any more, except one's own nick. */
  ghosts(ownNick: string): string[] {
    return [...this.before.keys()].filter((nick) => nick !== ownNick && !this.#seen.has(nick));
  }
}

function meaning(presence: Buffer): string {
  return canonical(inClientNamespace(presence), true);
}

/** The same for presences that say the same, in whatever order. */
function canonical(element: Element, isRoot: boolean): string {
  const attributes = Object.entries(element.attrs as Record<string, string>)
    .filter(([name]) => !name.startsWith('xmlns') && !(isRoot && OF_THE_WAY.has(name)))
    .map(([name, value]) => `${name}=${value}`)
    .sort();
  const children = element.children
    .filter((child) => typeof child === 'string' || !isOfTheMoment(child))
    .map((child) => (typeof child === 'string' ? child.trim() : canonical(child, false)))
    .filter((child) => child !== '')
    .sort();
  return JSON.stringify([element.getName(), element.getNS() ?? '', attributes, children]);
}

/** What belongs to the telling: that it is one's own, that it comes late, that the room was made. */
function isOfTheMoment(element: Element): boolean {
  if (element.is('delay', NS.delay)) return true;
  return element.is('status', NS.mucUser) && element.attrs.code !== undefined;
}
