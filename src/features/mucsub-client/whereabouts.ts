import type { RoomChange } from '../../knowledge/rooms/room.js';
import type { RoomsSession } from '../../knowledge/rooms/rooms.js';
import type { FeatureContext } from '../../session/feature.js';
import type { AccountBook } from './book.js';
import type { Early } from './early.js';
import type { Groupchat } from './groupchat.js';
import type { Handing } from './handing.js';
import type { Joining } from './joining.js';
import type { RoomPatterns } from './patterns.js';
import type { Subscribing } from './subscribing.js';

/** In which rooms the client of one session is, and what follows from it. */
export class Whereabouts {
  constructor(
    private readonly context: FeatureContext,
    private readonly book: AccountBook,
    private readonly patterns: RoomPatterns,
    private readonly rooms: RoomsSession,
    private readonly handing: Handing,
    private readonly joining: Joining,
    private readonly groupchat: Groupchat,
    private readonly early: Early,
    private readonly subscribing: Subscribing,
    /** Whether a room is one that clients are subscribed to for. */
    private readonly concerns: (room: string) => boolean,
    /** Does something when it is known what there is of the account. */
    private readonly soon: (what: () => void) => void,
  ) {
    rooms.onChange((change) => this.#changed(change));
  }

  /** The session is one of the process before: the client is where it was. */
  goesOn(): void {
    for (const room of this.rooms.joined())
      if (this.patterns.has(room)) this.#enters(room, this.rooms.nickIn(room) ?? '');
  }

  /** Rooms that it is in, of those that matter. */
  get inside(): readonly string[] {
    return this.rooms.joined().filter((room) => this.book.isInside(room, this.context.identity));
  }

  /** The session is over. */
  close(): void {
    const { book, context, handing, inside } = this;
    const told = inside.filter((room) => this.#hasBeenTold(room));
    for (const coming of this.joining.returns()) coming.breakOff(true);
    handing.close(told);
    for (const room of inside) this.#wasIn(room);
    book.left(context.identity);
  }

  #changed(change: RoomChange): void {
    const { book, context } = this;
    const { room } = change;
    if (!this.patterns.has(room) && !book.isOurs(room)) return;
    switch (change.kind) {
      case 'joined':
        this.#joined(room, change.nick, change.created);
        break;
      case 'nick-changed':
        this.#enters(room, change.to);
        this.#subscribe(room, change.to);
        break;
      case 'join-failed':
        this.joining.of(room)?.breakOff(false);
        if (change.condition === 'forbidden') this.soon(() => context.store.write(book.forget(room)));
        break;
      case 'left': {
        const hasBeenTold = this.#hasBeenTold(room);
        this.early.leaves(room);
        this.joining.of(room)?.breakOff(true);
        if (change.cause === 'banned' || change.cause === 'destroyed') {
          book.leaves(room, context.identity);
          this.soon(() => context.store.write(book.forget(room)));
        } else this.#leaves(room, hasBeenTold);
        break;
      }
      default:
    }
  }

  #enters(room: string, nick: string): void {
    this.book.enters(room, this.context.identity, nick);
  }

  #joined(room: string, nick: string, created: boolean): void {
    const { book, context } = this;
    if (!this.concerns(room)) return;
    // What is known of a room of this name is not about this one.
    if (created) this.soon(() => context.store.write(book.forget(room)));
    this.#enters(room, nick);
    this.soon(() => this.handing.enters(room));
    this.joining.isIn(room);
    this.#subscribe(room, nick);
  }

  #subscribe(room: string, nick: string): void {
    const password = this.joining.password(room);
    this.soon(() => {
      if (this.concerns(room) && this.rooms.isRoom(room) === 'joined')
        this.subscribing.entered({ room, nick, password });
    });
  }

  /** Whether nothing of what was said before has still to be given. */
  #hasBeenTold(room: string): boolean {
    return this.groupchat.goingOn?.awaits(room) !== true && !this.joining.isReturning(room);
  }

  /** @param hasBeenTold what was said before it left */
  #leaves(room: string, hasBeenTold: boolean): void {
    const { book } = this;
    const { identity } = this.context;
    if (!book.isInside(room, identity)) return;
    book.leaves(room, identity);
    this.soon(() => {
      if (!book.isOurs(room)) return;
      // It is not behind what has still to be given.
      if (hasBeenTold) this.handing.leaves(room);
      this.#wasIn(room);
    });
  }

  /** Somebody has been there up to now. */
  #wasIn(room: string): void {
    const { book, context } = this;
    const subscription = book.room(room)?.subscription;
    if (subscription === undefined) return;
    context.store.write(book.subscribes(room, { ...subscription, joinedAt: context.wallClock() }));
  }
}
