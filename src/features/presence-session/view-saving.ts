import type { FeatureContext } from '../../session/feature.js';
import type { PlayedRoom } from './played-room.js';
import type { StoredViews } from './stored-views.js';
import type { View } from './view.js';
import { encodeView } from './view-codec.js';

/** Between two writes of a view that changes, ms: the larger it is the longer. */
const SAVING_TIME = 10_000;
const LONGEST_SAVING_TIME = 60_000;
const SAVING_TIME_PER_BYTE = 1;
/** A view that has just been told is written so many ms behind it. */
const SAVED_WITHIN = 1_000;

/** The wake-up at which views are written. */
export const SAVE = 'save';

/** Writes the views of one session down while they change, so that not all is lost with a process that is killed. */
export class ViewSaving {
  /** When views are written next. */
  #at: number | undefined;

  constructor(
    private readonly context: FeatureContext,
    private readonly views: StoredViews,
    private readonly rooms: () => Iterable<PlayedRoom>,
  ) {}

  /** Writes all that has changed, now. */
  all(): void {
    for (const room of this.rooms()) if (room.dirty && room.held === undefined) this.write(room);
  }

  /** The same for those that have not been written for long: it is time. */
  due(): void {
    this.#at = undefined;
    const { now } = this.context;
    for (const room of this.rooms()) {
      if (!room.dirty || room.held !== undefined) continue;
      const at = room.writtenAt + savingTime(room.view);
      if (now >= at) this.write(room);
      else this.#within(at - now);
    }
  }

  write(room: PlayedRoom): void {
    room.dirty = false;
    room.writtenAt = this.context.now;
    if (room.restoring) return;
    this.views.save(room.jid, room.view.session, encodeView(room.view, this.views.expires));
  }

  /** Something has changed. */
  later(): void {
    this.#within(SAVING_TIME);
  }

  /** A view has been told that is written nowhere. */
  soon(): void {
    this.#within(SAVED_WITHIN);
  }

  #within(ms: number): void {
    const at = this.context.now + ms;
    if (this.#at !== undefined && this.#at <= at) return;
    this.#at = at;
    this.context.wakeAt(SAVE, at);
  }
}

function savingTime(view: View): number {
  return Math.max(SAVING_TIME, Math.min(LONGEST_SAVING_TIME, view.bytes * SAVING_TIME_PER_BYTE));
}
