import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import { capabilitiesKey } from '../../knowledge/capabilities/capabilities.js';
import type { FeatureContext, PassingStanza } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import type { AccountBook } from './book.js';
import type { RoomPatterns } from './patterns.js';

const MUCSUB = Buffer.from(NS.mucsub);

/** Notices clients that know MUC/Sub themselves: they are left alone. */
export class Speaking {
  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly patterns: RoomPatterns,
    /** Does something when the book has been read. */
    private readonly soon: (what: () => void) => void,
  ) {}

  /** A request of MUC/Sub to a room or a service. */
  asks(stanza: PassingStanza): void {
    const to = prepareJid(stanza.frame.to ?? '');
    const child = stanza
      .tree()
      .getChildElements()
      .find((each) => each.getNS() === NS.mucsub);
    if (to === undefined || child === undefined) return;
    const { jid } = child.attrs as Record<string, string | undefined>;
    // A moderator may do it for others.
    if (jid !== undefined && prepareJid(bare(jid)) !== this.book.account) return;
    this.#speaks(to.includes('@') ? to : undefined);
  }

  /** The client says what it can do (XEP-0030). */
  lists({ frame }: PassingStanza): void {
    if (frame.bytes().includes(MUCSUB)) this.#speaks(undefined);
  }

  /** @param done told whether the client has MUC/Sub among its capabilities, when that is known */
  isAnnounced(done: (speaks: boolean) => void): void {
    const { context } = this;
    context.know(capabilitiesKey).want(context.identity.full, (features) => {
      const speaks = features?.has(NS.mucsub) === true;
      if (speaks) this.#speaks(undefined);
      done(speaks);
    });
  }

  /** @param room undefined: all of the account */
  #speaks(room: string | undefined): void {
    const { book, context, patterns } = this;
    this.soon(() => {
      const isConcerned =
        room === undefined
          ? !patterns.isEmpty || book.subscribed().length > 0
          : patterns.has(room) || book.isOurs(room);
      if (!isConcerned) return;
      context.count('mucsub-client-left-alone');
      context.store.write(book.clientSpeaks(room, context.wallClock()));
    });
  }
}
