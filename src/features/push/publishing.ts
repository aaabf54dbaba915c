import type { Buffer } from 'node:buffer';
import type { FeatureContext, IqAnswer } from '../../session/feature.js';
import { Frame, StanzaKind } from '../../xml/frame.js';
import { MADE_HERE } from '../../xml/limits.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { frameToElement } from '../../xml/tree.js';
import { notification } from './notification.js';
import { type Registration, type Registrations, registrationsOf } from './registrations.js';
import type { Settings } from './settings.js';
import { type Absent, MOST_FAILURES, type Shared, sharedOf } from './shared.js';
import { readWaiting, type WaitingMessage } from './waiting-message.js';

const PUBLISH = 'publish';

/** Errors of a push service that say nothing about whether it will take the next one; every other means that the node is gone. */
const PASSING: ReadonlySet<string> = new Set([
  'internal-server-error',
  'policy-violation',
  'recipient-unavailable',
  'remote-server-not-found',
  'remote-server-timeout',
  'resource-constraint',
  // COMPAT: jabberd2 says so of every server that it cannot reach.
  'service-unavailable',
  'undefined-condition',
]);

/** Tells push services what waits for a session's client, from when on it is not there, by way of the session's server leg. */
export class Publishing implements Absent {
  isGone = false;
  /** Messages that wait; and how many have come at all, to tell what a node has been told. */
  #count = 0;
  #news = 0;
  #last: WaitingMessage | undefined;
  readonly #told = new WeakMap<Registration, number>();
  readonly #shared: Shared;
  readonly #registrations: Registrations;

  constructor(
    private readonly context: FeatureContext,
    /** Prepared. */
    private readonly account: string,
    private readonly settings: Settings,
  ) {
    this.#shared = sharedOf(context.domain);
    this.#registrations = registrationsOf(context.domain);
    this.#shared.leaves(account, this);
  }

  /** The client is there again, or the session is over. */
  end(): void {
    this.forget();
    this.#shared.returns(this.account, this);
  }

  forget(): void {
    this.#count = 0;
    this.#last = undefined;
  }

  /** A stanza waits for the client. */
  waits(bytes: Buffer): void {
    if (this.#registrations.known(this.account)?.length === 0) return;
    const frame = parseStanza(bytes, this.context.namespaces, { limits: MADE_HERE });
    if (!(frame instanceof Frame) || frame.kind !== StanzaKind.Message) return;
    const message = readWaiting(frameToElement(frame), this.account);
    if (message === undefined) return;
    this.#count += 1;
    this.#news += 1;
    this.#last = message;
    this.context.wakeAt(PUBLISH, this.context.now);
  }

  wake(): void {
    if (this.#count === 0) return;
    this.#registrations.of(this.context, this.account, (list) => this.#publish(list));
  }

  #publish(list: readonly Registration[]): void {
    const { context, settings } = this;
    const { now } = context;
    if (this.#count === 0) return;
    let again = Number.POSITIVE_INFINITY;
    for (const registration of this.#addressed(list)) {
      if (this.#told.get(registration) === this.#news) continue;
      const notBefore = this.#shared.notBefore(registration);
      const turn = notBefore > now ? notBefore : this.#shared.turn(now, settings.perSecond);
      if (turn === undefined) this.#send(registration);
      else again = Math.min(again, turn);
    }
    if (again !== Number.POSITIVE_INFINITY) context.wakeAt(PUBLISH, again);
  }

  /** While the client may come back to this session its own device is told; all are told when no client of the account is there. */
  #addressed(list: readonly Registration[]): readonly Registration[] {
    const { domain, identity } = this.context;
    if (domain.sessionsOf(this.account).length <= this.#shared.absent(this.account)) return list;
    return this.isGone ? [] : list.filter(({ resource }) => resource === identity.resource);
  }

  #send(registration: Registration): void {
    const { context, settings } = this;
    const last = this.#last;
    const payload = notification(registration, {
      count: this.#count,
      sender: settings.sender ? last?.from : undefined,
      body: settings.body ? last?.body : undefined,
    });
    this.#told.set(registration, this.#news);
    this.#shared.sends(registration, context.now, settings.interval * 1_000);
    context.count('push-published');
    context.request({ leg: 'server', type: 'set', to: registration.service, payload }, (answer) =>
      this.#answered(registration, answer),
    );
  }

  #answered(registration: Registration, answer: IqAnswer): void {
    if (answer.kind === 'result') this.#shared.succeeds(registration);
    if (answer.kind === 'error' && !mayPass(answer)) this.#disable(registration);
    else if (answer.kind === 'error' || answer.kind === 'timeout') this.#failed(registration);
  }

  /** It is tried again when something more waits. */
  #failed(registration: Registration): void {
    const { context, settings } = this;
    context.count('push-failed');
    const failures = this.#shared.fails(registration, context.now, settings.interval * 1_000);
    if (failures >= MOST_FAILURES) this.#disable(registration);
  }

  #disable(registration: Registration): void {
    this.context.count('push-disabled');
    // One that has been enabled anew meanwhile is another.
    this.#registrations.remove(this.context, this.account, (each) => each === registration);
  }
}

function mayPass({ condition, iq }: Extract<IqAnswer, { kind: 'error' }>): boolean {
  const type: unknown = iq.getChild('error')?.attrs.type;
  return type === 'wait' || PASSING.has(condition);
}
