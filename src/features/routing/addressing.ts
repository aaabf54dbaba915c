import { bare, isSameJid, prepareJid } from '../../jid.js';
import type { ServerKind, SessionIdentity } from '../../session/feature.js';
import type { Frame } from '../../xml/frame.js';
import { ALONE, CONVERSATIONAL, NO_COPY, PRIVATE, SINGLE, TWO } from './kinds.js';
import { markedAddress } from './marks.js';
import { isOfOneResource, type MessageType } from './message-type.js';

/**
 * Whom a message that has come is for.
 * - `here`: this resource alone
 * - `account`: all resources of the account
 * - a full JID: another resource of the account, as it was addressed; the server has brought it here because that one is gone
 */
export type Target =
  | { readonly for: 'here' }
  | { readonly for: 'account' }
  | { readonly for: 'gone'; readonly address: string };

/** As it is for what comes from somebody in a room. */
export const HERE: Target = { for: 'here' };
const ACCOUNT: Target = { for: 'account' };

/** By what a message says of itself, and by where the server says it was addressed. Types as in RFC 6121 §5.2.2. */
export class Addressing {
  readonly #own: string;
  /** The address looked at last and what it is: mostly it is one and the same. */
  #last: string | undefined;
  #lastTarget: Target = HERE;

  constructor(
    private readonly identity: SessionIdentity,
    private readonly serverKind: ServerKind,
  ) {
    this.#own = prepareJid(identity.bare) ?? identity.bare;
  }

  /** Whether an address is the own account's, without resource; an absent one is (RFC 6120 §8.1.1.1). */
  isAccount(address: string | undefined): boolean {
    return address === undefined || address === this.identity.bare || prepareJid(address) === this.#own;
  }

  /** What somebody in a room says is for `here` whatever this says. */
  target(frame: Frame, type: MessageType, flags: number): Target {
    const alone = (flags & (PRIVATE | NO_COPY | ALONE)) !== 0;
    if ((flags & TWO) !== 0) {
      const written = markedAddress(frame);
      if (written !== undefined && this.#isOwn(written)) return this.#byAddress(written);
      // COMPAT: jabberd2 writes each resource's full JID over a bare one; what had a full one is kept from being copied.
      const target = this.serverKind === 'jabberd2' && !alone ? ACCOUNT : this.#addressed(frame);
      // Its sender wants no copies, though he has written to the account.
      return target.for === 'account' && (alone || isOfOneResource(type)) ? HERE : target;
    }
    if (isOfOneResource(type)) return HERE;
    const target = this.#addressed(frame);
    if (target.for === 'account') return alone ? HERE : ACCOUNT;
    if (alone || (flags & SINGLE) !== 0 || (flags & CONVERSATIONAL) === 0) return target;
    // Conversation is for all (the seed's rule for type chat); copies of it come from the server where it makes any.
    return this.serverKind === 'jabberd2' ? ACCOUNT : HERE;
  }

  #isOwn(address: string): boolean {
    return this.isAccount(bare(address));
  }

  /** By its address as it has come. */
  #addressed(frame: Frame): Target {
    if (this.#last !== undefined && frame.attributeEquals('to', this.#last)) return this.#lastTarget;
    return this.#byAddress(frame.to);
  }

  #byAddress(address: string | undefined): Target {
    if (address === undefined) return ACCOUNT;
    if (address !== this.#last) {
      this.#lastTarget = this.#judge(address);
      this.#last = address;
    }
    return this.#lastTarget;
  }

  #judge(address: string): Target {
    if (this.isAccount(address)) return ACCOUNT;
    if (!this.#isOwn(address) || isSameJid(address, this.identity.full)) return HERE;
    return { for: 'gone', address };
  }
}
