import { bare, prepareJid } from '../../jid.js';
import type { FeatureContext, Verdict } from '../../session/feature.js';
import { stanzaError } from '../../stream/errors.js';
import type { Frame } from '../../xml/frame.js';
import type { Acquaintances } from './acquaintances.js';
import type { Counts } from './counts.js';
import { messageKey } from './message-key.js';
import { type Notice, writeNotice } from './notices.js';
import type { RoutingSettings } from './settings.js';

export const DROPPED: Verdict = { action: 'drop', reason: 'gone-resource-dropped' };

/** Errors for what was sent to a resource of the account that is not there any more, and that the server has brought to others. */
export class Returns {
  readonly #own: string;

  constructor(
    private readonly context: FeatureContext,
    private readonly acquaintances: Acquaintances,
    private readonly settings: Pick<RoutingSettings, 'answerStrangers'>,
    /** Of all sessions of the domain: the first one answers. */
    private readonly returned: Counts,
  ) {
    this.#own = prepareJid(context.identity.bare) ?? context.identity.bare;
  }

  /** Nobody gets the message; its sender gets one error, however many resources it was brought to. @param address as it was addressed */
  refuse(frame: Frame, address: string): Verdict {
    const { context } = this;
    const { from, type, id } = frame;
    // RFC 6121 §8.5.3.2: a headline is ignored without a word.
    if (from === undefined || type === 'headline' || type === 'groupchat') return DROPPED;
    const key = `${this.#own}\n${address}\n${messageKey(frame)}`;
    const isFirst = () => this.returned.isNew(key, context.identity.full, context.now);
    const sender = bare(from);
    if (from === context.identity.full) {
      if (isFirst()) this.pass({ kind: 'error', to: from, from: address, id });
    } else if (context.domain.sessionsOf(prepareJid(sender) ?? sender).some(({ full }) => full === from)) {
      // No server lets one resource speak for another, or it would say who answers: the sender’s own session says it.
      if (isFirst()) context.tell(sender, writeNotice({ kind: 'error', to: from, from: address, id }));
    } else {
      // The server writes this session's address over any other, which only those may learn who have it already: of the sessions one that he knows.
      const answer = () => {
        if (isFirst()) context.send('server', error(id, undefined, from), 'gone-resource-answered');
      };
      if (this.settings.answerStrangers) answer();
      else this.acquaintances.ifKnown(sender, answer);
    }
    return DROPPED;
  }

  /** An error that another session has found out about. */
  pass({ to, from, id }: Extract<Notice, { readonly kind: 'error' }>): void {
    if (to === this.context.identity.full)
      this.context.send('client', error(id, from, to), 'gone-resource-answered');
  }
}

function error(id: string | undefined, from: string | undefined, to: string): string {
  return stanzaError({ name: 'message', id, from, to }, 'cancel', 'service-unavailable');
}
