import { Buffer } from 'node:buffer';
import { LateMap } from '../../session/late.js';
import type { Frame } from '../../xml/frame.js';

/** Stanzas of the client's that wait for one join; more go on at once. */
const MOST = 100;

/** What the client sends to rooms behind a join that is not on its way yet, because something has to be read first. */
export class WaitingStanzas {
  readonly #behind = new LateMap<string, Buffer[]>();

  /** Whether what the client sends to a room may have to wait. */
  get any(): boolean {
    return this.#behind.size > 0;
  }

  /** A join waits. */
  begin(room: string): void {
    this.#behind.set(room, []);
  }

  /** @returns whether it waits */
  takes(room: string, frame: Frame): boolean {
    const behind = this.#behind.get(room);
    if (behind === undefined || behind.length >= MOST) return false;
    behind.push(Buffer.from(frame.bytes()));
    return true;
  }

  /** The join is on its way, or given up. @returns what follows it */
  end(room: string): readonly Buffer[] {
    const behind = this.#behind.get(room) ?? [];
    this.#behind.delete(room);
    return behind;
  }
}
