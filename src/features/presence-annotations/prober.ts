import type { FeatureContext, IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import type { Link, Probe } from './link.js';
import { type Links, type ProbingAgent, refusalsLast } from './links.js';
import type { Reach } from './reach.js';

const LOOK = 'probe';

/** Conditions with which the own server says that it cannot reach another one (RFC 6120 §8.3.3.15, §8.3.3.16). */
const UNREACHABLE: ReadonlySet<string> = new Set(['remote-server-not-found', 'remote-server-timeout']);
/** The own server has not tried. */
const UNDECIDED: ReadonlySet<string> = new Set([
  'internal-server-error',
  'resource-constraint',
  'policy-violation',
]);

/** Whether an error condition says for certain that the server of its addressee is not reached. */
export function saysUnreachable(condition: string): boolean {
  return UNREACHABLE.has(condition);
}

/** A session's part in asking other servers for a sign of life (XEP-0199): one session asks for all that have the same server. */
export class Prober implements ProbingAgent {
  /** On their way. Made when needed, as one session asks for all. */
  #open: Map<string, Probe> | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly reach: Reach,
  ) {}

  private get links(): Links {
    return this.reach.links;
  }

  /** The session has a server leg. */
  start(): void {
    this.links.offer(this, this.context.now);
  }

  /** It has none any more. @param links of the server that it had */
  stop(links: Links = this.links): void {
    const { now } = this.context;
    for (const [domain, probe] of this.#open ?? [])
      links.probed(domain, now, (link) => link.notProbed(probe, now));
    this.#open = undefined;
    links.withdraw(this, now);
  }

  lookAtLinks(now: number): void {
    this.context.wakeAt(LOOK, now);
  }

  /** @returns whether the wake-up was for this */
  wake(token: string, now: number): boolean {
    if (token !== LOOK) return false;
    if (!this.links.isAgent(this)) return true;
    const { probes, next } = this.links.due(now);
    for (const [domain, link] of probes) this.#probe(domain, link.probing());
    const again = probes.length > 0 ? Math.min(next, this.links.due(now).next) : next;
    if (again !== Number.POSITIVE_INFINITY) this.context.wakeAt(LOOK, again);
    return true;
  }

  #probe(domain: string, probe: Probe): void {
    const { timeout } = probe;
    this.#open ??= new Map();
    this.#open.set(domain, probe);
    this.#ask(domain, `<ping xmlns='${NS.ping}'/>`, timeout, (answer) => {
      const condition = answer.kind === 'error' ? answer.condition : undefined;
      // COMPAT: jabberd2 returns what it cannot deliver with `service-unavailable`, as does a server that does not know pings. Every server
      // knows service discovery.
      if (condition === 'service-unavailable' && this.context.serverKind === 'jabberd2') {
        this.#ask(domain, `<query xmlns='${NS.discoInfo}'/>`, timeout, (second) =>
          this.#answered(domain, probe, second, 'service-unavailable'),
        );
      } else this.#answered(domain, probe, answer, undefined);
    });
  }

  #ask(to: string, payload: string, timeoutMs: number, done: (answer: IqAnswer) => void): void {
    this.context.request({ leg: 'server', type: 'get', to, payload, timeoutMs }, done);
  }

  #answered(domain: string, probe: Probe, answer: IqAnswer, alsoUnreachable: string | undefined): void {
    const { now, serverKind } = this.context;
    const { links } = this;
    if (this.#open?.get(domain) === probe) this.#open.delete(domain);
    switch (answer.kind) {
      case 'result':
        links.alive(domain, now, 'probe');
        break;
      case 'error':
        if (saysUnreachable(answer.condition) || answer.condition === alsoUnreachable)
          links.probed(domain, now, (link) => link.refused(now, refusalsLast(serverKind)));
        else if (UNDECIDED.has(answer.condition))
          links.probed(domain, now, (link) => link.undecided(probe, now));
        else links.alive(domain, now, 'probe');
        break;
      case 'timeout':
        links.probed(domain, now, (link) => link.silent(probe, now));
        break;
      default:
        links.probed(domain, now, (link: Link) => link.notProbed(probe, now));
        if (answer.kind === 'leg-lost') this.stop();
    }
    this.lookAtLinks(now);
  }
}
