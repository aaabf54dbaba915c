import fc from 'fast-check';
import { expect, it } from 'vitest';
import { rooms } from '../../../src/knowledge/rooms/rooms.js';
import { type Playbook, play } from '../features/playbook.js';
import { destroyed, error, gone, here, join, leave, ping, pong, ROOM } from './room-stanzas.js';

const OTHERS = ['Romeo', 'Tybalt', 'Paris'];
const NICKS = ['Juliet', 'Jule', ...OTHERS];

/**
 * A room on a server, as XEP-0045 has it: what it is sent is handled in order, and its answers arrive in order, but some time
 * later. `inside` is what is true in the room.
 */
class RoomServer {
  inside: string | undefined;
  readonly #others = new Set<string>();
  readonly #answers: string[] = [];

  receive(kind: 'join' | 'update' | 'leave', nick: string): void {
    if (kind === 'leave') this.#remove('110');
    else if (this.#others.has(nick)) this.#say(error(`${ROOM}/${nick}`, 'conflict'));
    else if (this.inside === undefined) {
      if (kind === 'join') this.#enter(nick);
      else this.#say(error(`${ROOM}/${nick}`, 'item-not-found'));
    } else if (nick !== this.inside) this.#rename(nick);
    else if (kind === 'join') this.#enter(nick);
    else this.#say(here(nick, '110'));
  }

  ping(nick: string, id: string): void {
    if (this.inside === undefined) this.#say(pong(nick, id, 'not-acceptable'));
    else this.#say(nick === this.inside ? pong(nick, id) : pong(nick, id, 'item-not-found'));
  }

  /** The client's server says for it that it is unavailable; of that it gets no answer. */
  leaveSilently(): void {
    this.inside = undefined;
  }

  kick(code: string): void {
    this.#remove(code, '110');
  }

  destroy(): void {
    if (this.inside === undefined) return;
    const nick = this.inside;
    this.inside = undefined;
    this.#say(destroyed(nick, 'over', ''));
  }

  other(nick: string): void {
    if (nick === this.inside) return;
    if (this.#others.delete(nick)) this.#tell(gone(nick));
    else {
      this.#others.add(nick);
      this.#tell(here(nick));
    }
  }

  /** The next thing the room has said; undefined if the client has got all of it. */
  deliver(): string | undefined {
    return this.#answers.shift();
  }

  #enter(nick: string): void {
    for (const other of this.#others) this.#say(here(other));
    this.inside = nick;
    this.#say(here(nick, '110'));
  }

  #rename(nick: string): void {
    const before = this.inside!;
    this.#say(gone(before, '303', '110'));
    this.inside = nick;
    this.#say(here(nick, '110'));
  }

  #remove(...codes: string[]): void {
    if (this.inside === undefined) return;
    const nick = this.inside;
    this.inside = undefined;
    this.#say(gone(nick, ...codes));
  }

  #tell(xml: string): void {
    if (this.inside !== undefined) this.#say(xml);
  }

  #say(xml: string): void {
    this.#answers.push(xml);
  }
}

type Step =
  | { readonly do: 'join' | 'update' | 'leave' | 'ping' | 'other'; readonly nick: string }
  | { readonly do: 'kick'; readonly code: string }
  | { readonly do: 'destroy' | 'unavailable' }
  | { readonly do: 'deliver'; readonly count: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('join' as const), nick: fc.constantFrom(...NICKS) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('update' as const), nick: fc.constantFrom(...NICKS) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), nick: fc.constantFrom(...NICKS) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('ping' as const), nick: fc.constantFrom(...NICKS) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('other' as const), nick: fc.constantFrom(...OTHERS) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('kick' as const),
      code: fc.constantFrom('307', '301', '321', '322', '332', '333'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('destroy' as const, 'unavailable' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 6 }) }),
  },
);

function deliver(server: RoomServer, book: Playbook<never>, count: number): void {
  for (let i = 0; i < count; i++) {
    const xml = server.deliver();
    if (xml === undefined) return;
    book.fromServer(xml);
  }
}

it('agrees with the room about being in it, whatever happens', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const server = new RoomServer();
      const book = play(rooms);
      const session = book.session;
      // What the changes add up to has to be what the state says.
      let told: string | undefined;
      let contacted = false;
      session.onChange((change) => {
        if (change.kind === 'joined') told = change.nick;
        else if (change.kind === 'left') told = undefined;
        else if (change.kind === 'nick-changed') told = change.to;
      });
      steps.forEach((event, i) => {
        switch (event.do) {
          case 'join':
          case 'update':
            contacted = true;
            book.fromClient(
              event.do === 'join' ? join(event.nick) : `<presence to='${ROOM}/${event.nick}'/>`,
            );
            server.receive(event.do, event.nick);
            break;
          case 'leave':
            book.fromClient(leave(event.nick));
            server.receive('leave', event.nick);
            break;
          case 'ping':
            book.fromClient(ping(event.nick, `p${i}`));
            server.ping(event.nick, `p${i}`);
            break;
          case 'unavailable':
            book.fromClient(`<presence type='unavailable'/>`);
            server.leaveSilently();
            break;
          case 'kick':
            server.kick(event.code);
            break;
          case 'destroy':
            server.destroy();
            break;
          case 'other':
            server.other(event.nick);
            break;
          case 'deliver':
            deliver(server, book as Playbook<never>, event.count);
        }
        expect(session.nickIn(ROOM)).toBe(told);
        // Never taken for a user once there was anything: a private message to an occupant depends on it.
        if (contacted) expect(session.isRoom(ROOM)).not.toBe('unknown');
      });
      deliver(server, book as Playbook<never>, Number.POSITIVE_INFINITY);
      expect(session.nickIn(ROOM)).toBe(server.inside);
      book.end();
    }),
    { numRuns: 500 },
  );
});
