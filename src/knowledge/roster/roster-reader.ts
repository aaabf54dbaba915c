import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';

/** Who is subscribed to whom (RFC 6121 §2.1.2.5): `sees` the user's presence, `isSeen` by the user. */
export interface Subscription {
  readonly sees: boolean;
  readonly isSeen: boolean;
}

export type Roster = ReadonlyMap<string, Subscription>;

/** Contacts beyond these are not told anything. */
export const MOST_CONTACTS = 10_000;
const ANSWER_TIME = 20_000;

/**
 * The account's roster, read when it is needed and not kept. A session that asks for it is sent the changes of it too (RFC 6121 §2.1.6): those
 * of a client that has not asked itself are answered here.
 */
export class RosterReader {
  #clientAsked = false;
  #asked = false;
  #asking: ((roster: Roster | undefined) => void)[] | undefined;

  constructor(private readonly context: FeatureContext) {}

  /** The client itself has asked for its roster. */
  clientAsks(): void {
    this.#clientAsked = true;
  }

  /** Whether changes of the roster come only because it was read here. */
  get answersPushes(): boolean {
    return this.#asked && !this.#clientAsked;
  }

  /** @param done gets the contacts by prepared bare JID; undefined when the server does not say */
  read(done: (roster: Roster | undefined) => void): void {
    if (this.#asking !== undefined) {
      this.#asking.push(done);
      return;
    }
    this.#asking = [done];
    this.#asked = true;
    const payload = `<query xmlns='${NS.roster}'/>`;
    this.context.request({ leg: 'server', type: 'get', payload, timeoutMs: ANSWER_TIME }, (answer) => {
      const waiting = this.#asking ?? [];
      this.#asking = undefined;
      const query = answer.kind === 'result' ? answer.iq.getChild('query', NS.roster) : undefined;
      let roster: Map<string, Subscription> | undefined;
      if (query !== undefined) {
        roster = new Map();
        for (const { attrs } of query.getChildren('item', NS.roster).slice(0, MOST_CONTACTS)) {
          const jid = prepareJid(String(attrs.jid ?? ''));
          const { subscription } = attrs as { subscription?: unknown };
          const both = subscription === 'both';
          if (jid !== undefined)
            roster.set(jid, {
              sees: both || subscription === 'from',
              isSeen: both || subscription === 'to',
            });
        }
      }
      for (const each of waiting) each(roster);
    });
  }
}

/** Contacts that, by a roster push, do not see the user's presence (RFC 6121 §2.1.6): bare JIDs, prepared. */
export function unsubscribedBy(push: Element): string[] {
  const found: string[] = [];
  for (const { attrs } of push.getChild('query', NS.roster)?.getChildren('item', NS.roster) ?? []) {
    const { subscription } = attrs as { subscription?: unknown };
    const jid = prepareJid(String(attrs.jid ?? ''));
    if (jid !== undefined && subscription !== 'both' && subscription !== 'from') found.push(jid);
  }
  return found;
}
