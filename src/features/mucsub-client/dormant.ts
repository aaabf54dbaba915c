import { prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
} from '../../session/feature.js';
import { storeKey } from '../../store/store.js';
import { askPast } from './past.js';
import { FEATURE_NAME } from './records.js';
import { PLAYS } from './watches.js';

const LOOK = 'look';

/**
 * A session of a domain in which no rooms are named but may have been once: what the store has of that time has to be ended. In a domain without such a
 * past there is none of these but until that is known.
 */
export class Dormant implements FeatureSession {
  #awake: FeatureSession | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly wake: () => FeatureSession,
  ) {
    // Until it is known that there is nothing.
    context.attend(PLAYS, true);
    context.wakeAt(LOOK, context.now);
  }

  onWakeup(token: string, now: number): void {
    if (token !== LOOK) {
      this.#awake?.onWakeup?.(token, now);
      return;
    }
    askPast(this.context, (hasSubscribed) => this.#look(hasSubscribed));
  }

  #look(hasSubscribed: boolean): void {
    const { identity, domain, store } = this.context;
    if (!hasSubscribed) {
      if (this.#awake === undefined) this.context.attend(PLAYS, false);
      return;
    }
    const account = prepareJid(identity.bare) ?? identity.bare;
    store.load(storeKey(FEATURE_NAME, domain.name, account, ''), (entries) => {
      if (entries.length > 0) this.#awake ??= this.wake();
      else if (this.#awake === undefined) this.context.attend(PLAYS, false);
    });
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    // What comes before that is known is dealt with as if there were something.
    this.#awake ??= this.wake();
    return this.#awake.onStanza?.(stanza, watch) ?? PASS;
  }

  onReceived(tokens: readonly string[], now: number): void {
    this.#awake?.onReceived?.(tokens, now);
  }

  onLegDown(leg: 'client' | 'server', now: number): void {
    this.#awake?.onLegDown?.(leg, now);
  }

  onLegUp(leg: 'client' | 'server', now: number): void {
    this.#awake?.onLegUp?.(leg, now);
  }

  hidesArchived(message: Parameters<NonNullable<FeatureSession['hidesArchived']>>[0]): boolean {
    return this.#awake?.hidesArchived?.(message) === true;
  }

  snapshot(): string | undefined {
    return this.#awake?.snapshot?.();
  }

  onClose(now: number): void {
    this.#awake?.onClose?.(now);
  }
}
