import type { Buffer } from 'node:buffer';
import { Cursor } from './cursor.js';
import { RoomLog } from './event-log.js';

/** The logs of a domain's rooms that have something in them, or of which somebody has still something to get. */
export class EventLogs {
  readonly #rooms = new Map<string, RoomLog>();

  /** A cursor as the store has it. */
  take(domain: string, room: string, account: string, value: Buffer): void {
    const cursor = Cursor.read(value);
    if (cursor !== undefined) this.of(domain, room).cursors.set(account, cursor);
  }

  known(room: string): RoomLog | undefined {
    return this.#rooms.get(room);
  }

  /** Made when it is asked for. */
  of(domain: string, room: string): RoomLog {
    let log = this.#rooms.get(room);
    if (log === undefined) {
      log = new RoomLog(domain, room);
      this.#rooms.set(room, log);
    }
    return log;
  }

  /** Logs of which an account has something to get. */
  ofAccount(account: string): RoomLog[] {
    return [...this.#rooms.values()].filter(({ cursors }) => cursors.has(account));
  }

  forget(log: RoomLog): void {
    if (log.isUseless && this.#rooms.get(log.room) === log) this.#rooms.delete(log.room);
  }
}
