import type { FeatureContext, Verdict } from '../../session/feature.js';
import { stanzaError } from '../../stream/errors.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { AccountSessions } from './common.js';

/** Whether the server makes copies for this session (XEP-0280). */
export type ServerCopies = 'on' | 'none' | 'unknown';

const ENABLE = `<enable xmlns='${NS.carbons2}'/>`;
/** Wishes of a client that come before the server has answered ours. */
const MOST_WAITING = 16;

/**
 * Message Carbons are on at the server for the proxy's own sake; what the client wants of them is between it and the proxy, and decides the form in which
 * it gets its copies. Where the server has none, the proxy makes them.
 */
export class Carbons {
  #server: ServerCopies;
  #wanted: boolean;
  /** The client's wishes, until it is known whether the server can do it. */
  #waiting: { readonly id: string | undefined; readonly wanted: boolean; readonly xml: string }[] = [];

  /**
   * @param own account, prepared
   * @param copied where it is noted that this session is made copies for
   */
  constructor(
    private readonly context: FeatureContext,
    private readonly own: string,
    private readonly copied: AccountSessions,
    before: { readonly server: ServerCopies; readonly wanted: boolean } | undefined,
  ) {
    const fromStart = context.enabledAtStart.has(NS.carbons2);
    this.#server = before?.server ?? (fromStart ? 'on' : 'unknown');
    this.#wanted = before?.wanted ?? fromStart;
    // COMPAT: jabberd2 has none.
    if (context.serverKind === 'jabberd2') this.#server = 'none';
    this.#settle();
  }

  get server(): ServerCopies {
    return this.#server;
  }

  /** The client has asked for carbons and gets its copies in their form. */
  get wanted(): boolean {
    return this.#wanted;
  }

  /** The client wants copies, and the proxy makes them. */
  get areMade(): boolean {
    return this.#wanted && this.#server === 'none';
  }

  close(): void {
    this.copied.delete(this.own, this.context.identity);
  }

  /** Turns them on at the server. */
  enable(): void {
    if (this.#server !== 'unknown') return;
    this.context.request({ leg: 'server', type: 'set', payload: ENABLE }, (answer) => {
      if (answer.kind === 'result') this.#server = 'on';
      else if (answer.kind === 'error') this.#server = 'none';
      this.#settle();
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { id, wanted, xml } of waiting) {
        if (this.#server !== 'unknown') this.#note(id, wanted);
        else this.context.send('server', xml, 'carbons-wish-passed-on');
      }
    });
  }

  /** `<enable/>` or `<disable/>` from the client. @param isNg it has enabled XEP-0409, which excludes carbons */
  asked(frame: Frame, isNg: boolean): Verdict {
    const wanted = frame.findChild('enable', NS.carbons2) >= 0;
    if (!wanted && frame.findChild('disable', NS.carbons2) < 0) return { action: 'pass' };
    const { id } = frame;
    if (wanted && isNg) {
      this.context.send('client', conflict(this.context, id), 'im-ng-answered');
      return { action: 'handled', reason: 'im-ng-answered' };
    }
    if (this.#server !== 'unknown') this.#note(id, wanted);
    else if (this.#waiting.length < MOST_WAITING) this.#waiting.push({ id, wanted, xml: frame.toString() });
    return { action: 'handled', reason: 'carbons-wish-noted' };
  }

  #note(id: string | undefined, wanted: boolean): void {
    this.#wanted = wanted;
    this.#settle();
    this.context.send('client', resultFrom(this.context, id), 'carbons-wish-noted');
  }

  #settle(): void {
    const { identity } = this.context;
    if (this.areMade) this.copied.add(this.own, identity);
    else this.copied.delete(this.own, identity);
  }
}

/** The account says yes. */
export function resultFrom({ identity }: FeatureContext, id: string | undefined): string {
  const named = id === undefined ? '' : ` id='${escapeAttribute(id)}'`;
  const { bare, full } = identity;
  return `<iq type='result'${named} from='${escapeAttribute(bare)}' to='${escapeAttribute(full)}'/>`;
}

/** XEP-0409 §4: not both. */
export function conflict({ identity }: FeatureContext, id: string | undefined): string {
  const answered = { name: 'iq', id, from: identity.bare, to: identity.full } as const;
  return stanzaError(answered, 'cancel', 'conflict');
}
