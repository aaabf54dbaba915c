import type { FeatureContext, PassingStanza } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { pageQuery, readPageEnd } from '../../session/start/archive.js';
import { writeTime } from '../../xml/times.js';
import { readArchived } from './archive.js';
import type { HeldJoin } from './held-join.js';

/** ms that an archive may take. */
const ARCHIVE_TIME = 10_000;
/** An archive is asked from so many ms before the time a client has left off. */
const ARCHIVE_MARGIN = 10_000;

/** The questions of one session to the archives of rooms (XEP-0313), for joins that are held until they are answered. */
export class ArchiveQuestions {
  /** By their ids. */
  readonly #open = new LateMap<string, HeldJoin>();

  /** @param most messages of one answer: the newest */
  constructor(
    private readonly context: FeatureContext,
    private readonly most: number,
  ) {}

  /**
   * Asks what has been said in the room of a held join, which waits for it.
   * @param since from when on something may have been missed, ms since 1970
   * @param done the answer is there, or there is none; it is not called when the server leg is lost
   */
  ask(held: HeldJoin, since: number, done: () => void): void {
    held.await('archive');
    held.archive = [];
    const queryId = this.context.randomId();
    this.#open.set(queryId, held);
    const from = writeTime(since - ARCHIVE_MARGIN);
    const payload = pageQuery({ queryId, most: this.most, newest: true, since: from });
    this.context.count('room-history-asked');
    const query = { leg: 'server', type: 'set', to: held.room, payload, timeoutMs: ARCHIVE_TIME } as const;
    this.context.request(query, (answer) => {
      this.#open.delete(queryId);
      if (answer.kind === 'result') held.archiveReachesBack = readPageEnd(answer.iq)?.complete === true;
      if (answer.kind !== 'leg-lost' && held.has('archive')) done();
    });
  }

  /** @returns whether a message from an archive is the answer to one of these */
  takes(stanza: PassingStanza): boolean {
    const found = readArchived(stanza.tree());
    const held = found === undefined ? undefined : this.#open.get(found.queryId);
    if (found === undefined || held === undefined || found.room !== held.room) return false;
    held.archive ??= [];
    if (held.archive.length < this.most) {
      const message = found.read(held.digest, this.context.identity.full);
      if (message !== undefined) held.archive.push(message);
    }
    return true;
  }
}
