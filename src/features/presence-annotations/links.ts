import type { ServerKind } from '../../session/feature.js';
import { Link, type LinkRules } from './link.js';

/** Somebody who wants to know of links. Only notes what it is told and has itself woken: what follows happens in its own turn. */
export interface LinkWatcher {
  linkChanged(domain: string, now: number): void;
}

/** A session that can ask other servers in the name of all. */
export interface ProbingAgent {
  /** It is this session's turn, or there is something to be asked earlier. */
  lookAtLinks(now: number): void;
}

/** Other servers that are kept apart for one server of a domain. */
export const MOST_LINKS = 10_000;
/** Links that are asked about at one time, at most, and how many of those without suspicion. */
const PROBES_AT_ONCE = 16;
const ROUTINE_PROBES_AT_ONCE = 2;

/** ejabberd goes on refusing for `s2s_max_retry_delay` although what the other side sends arrives. */
const EJABBERD_REFUSES_FOR = 300_000;

interface Entry {
  readonly link: Link;
  /** Whose clients are told of the link; for their sake it is probed while nothing speaks against it. */
  readonly viewers: Set<LinkWatcher>;
  /** Who only has to know when it was down. */
  readonly guests: Set<LinkWatcher>;
}

/** COMPAT: how long refusals of this server's are no news once something has come from the other one. */
export function refusalsLast(kind: ServerKind): number {
  return kind === 'ejabberd' ? EJABBERD_REFUSES_FOR : 0;
}

/** The links of one server of a domain to all other servers that somebody here wants to know of, and who does. Domains are prepared. */
export class Links {
  readonly #entries = new Map<string, Entry>();
  readonly #agents = new Set<ProbingAgent>();
  /** Links at which a stanza from there would change something. */
  #troubled = new Set<string>();

  /** @param onTrouble told when `anyTroubled` has changed */
  constructor(
    private readonly rules: LinkRules,
    private readonly onTrouble: (isAny: boolean) => void = () => {},
  ) {}

  /** Whether a stanza from anywhere might be news: spares the ordinary case a look at addresses. */
  get anyTroubled(): boolean {
    return this.#troubled.size > 0;
  }

  get size(): number {
    return this.#entries.size;
  }

  isDown(domain: string): boolean {
    return this.#troubled.size > 0 && this.#entries.get(domain)?.link.isDown === true;
  }

  watch(domain: string, watcher: LinkWatcher, as: 'viewer' | 'guest', now: number): void {
    let entry = this.#entries.get(domain);
    if (entry === undefined) {
      if (this.#entries.size >= MOST_LINKS) return;
      entry = { link: new Link(this.rules, now), viewers: new Set(), guests: new Set() };
      this.#entries.set(domain, entry);
    }
    const watchers = as === 'viewer' ? entry.viewers : entry.guests;
    if (watchers.has(watcher)) return;
    watchers.add(watcher);
    if (as === 'viewer' && watchers.size === 1) this.#wakeAgent(now);
  }

  unwatch(domain: string, watcher: LinkWatcher, as: 'viewer' | 'guest'): void {
    const entry = this.#entries.get(domain);
    if (entry === undefined) return;
    (as === 'viewer' ? entry.viewers : entry.guests).delete(watcher);
    // Nobody would hear what becomes of it.
    if (entry.viewers.size > 0 || entry.guests.size > 0) return;
    this.#entries.delete(domain);
    this.#isTroubled(domain, false);
  }

  /** Something has come from there that only a server that is reached can send. */
  alive(domain: string, now: number, by: 'stanza' | 'probe' = 'stanza'): void {
    this.#change(domain, now, (link) => link.alive(now, by));
  }

  error(domain: string, now: number, certain: boolean, kind: ServerKind): void {
    this.#change(domain, now, (link) => link.error(now, certain, refusalsLast(kind)));
  }

  /** What a probe has come to. */
  probed(domain: string, now: number, outcome: (link: Link) => void): void {
    this.#change(domain, now, outcome);
  }

  /** A session with a server leg of its own offers to ask for all. */
  offer(agent: ProbingAgent, now: number): void {
    if (this.#agents.has(agent)) return;
    this.#agents.add(agent);
    if (this.#agents.size === 1) agent.lookAtLinks(now);
  }

  withdraw(agent: ProbingAgent, now: number): void {
    const was = this.isAgent(agent);
    this.#agents.delete(agent);
    if (was) this.#wakeAgent(now);
  }

  /** Whether it is this session that asks. */
  isAgent(agent: ProbingAgent): boolean {
    const [first] = this.#agents;
    return first === agent;
  }

  /** Takes notice of the time. @returns the links that are to be asked about now, and when to look again */
  due(now: number): { readonly probes: readonly (readonly [string, Link])[]; readonly next: number } {
    const dueNow: { readonly domain: string; readonly link: Link; readonly at: number }[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const [domain, { link, viewers }] of this.#entries) {
      if (link.nextChange <= now) this.#change(domain, now, () => link.tick(now));
      const at = link.nextProbe(viewers.size > 0);
      if (at <= now) dueNow.push({ domain, link, at });
      next = Math.min(next, at <= now ? Number.POSITIVE_INFINITY : at, link.nextChange);
    }
    // Suspicions first; else who has waited longest, or the last of many would never be asked about.
    dueNow.sort((a, b) => Number(b.link.isSuspected) - Number(a.link.isSuspected) || a.at - b.at);
    const suspected = dueNow.filter(({ link }) => link.isSuspected).length;
    const count = Math.min(PROBES_AT_ONCE, Math.max(suspected, ROUTINE_PROBES_AT_ONCE));
    const probes = dueNow.slice(0, count).map(({ domain, link }) => [domain, link] as const);
    if (probes.length < dueNow.length) next = now + 1;
    return { probes, next };
  }

  #change(domain: string, now: number, input: (link: Link) => void): void {
    const entry = this.#entries.get(domain);
    if (entry === undefined) return;
    const { link } = entry;
    const before = link.isDown;
    const due = Math.min(link.nextProbe(entry.viewers.size > 0), link.nextChange);
    input(link);
    this.#isTroubled(domain, link.isTroubled || link.isDown);
    if (Math.min(link.nextProbe(entry.viewers.size > 0), link.nextChange) < due) this.#wakeAgent(now);
    if (link.isDown === before) return;
    for (const watcher of new Set([...entry.viewers, ...entry.guests])) watcher.linkChanged(domain, now);
  }

  #isTroubled(domain: string, isTroubled: boolean): void {
    const before = this.anyTroubled;
    if (isTroubled) this.#troubled.add(domain);
    else this.#troubled.delete(domain);
    if (this.anyTroubled !== before) this.onTrouble(this.anyTroubled);
  }

  #wakeAgent(now: number): void {
    const [agent] = this.#agents;
    agent?.lookAtLinks(now);
  }
}
