import type { Buffer } from 'node:buffer';
import { bare, domain, parseJid, prepareJid } from '../../jid.js';
import {
  type FeatureContext,
  type FeatureSession,
  type Knowledge,
  KnowledgeKey,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { Splice } from '../../xml/splice.js';
import { type RoomsSession, rooms, roomsKey } from '../rooms/rooms.js';
import { PresenceRecords, type ReceivedPresence } from './records.js';

/** Bytes of memory the presence of one session may take; about 2,000 contacts or occupants. */
export const PRESENCE_BYTES = 1024 * 1024;

const WATCHES: readonly Watch[] = [
  { direction: 'to-client', stanza: 'presence', types: ['', 'unavailable'] },
  { direction: 'to-server', stanza: 'presence', types: ['unavailable'], address: ['account'] },
];
const RECEIVED = 0;

/**
 * The last available presence that this session has been sent by each full JID. That it came for the sake of a subscription or was
 * directed cannot be told apart. An unavailable one removes the record, and one from a bare JID all of its resources' (Prosody says so
 * of an offline contact at login). Errors are the return of something that was sent and say nothing of the
 * address they name: with a nick conflict it is another's.
 */
export class PresenceSession implements FeatureSession {
  readonly #records: PresenceRecords;

  constructor(rooms: RoomsSession, budget: number) {
    this.#records = new PresenceRecords(budget);
    rooms.onChange((change) => {
      // Outside the room nothing more is heard of its occupants; a new join tells of all of them again.
      if (change.kind === 'left') this.#records.deleteBare(change.room);
    });
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    const { frame } = stanza;
    if (watch !== RECEIVED) {
      // Not for `to` one's own bare JID: only a broadcast takes one out of everybody's presence (RFC 6121 §4.5.2).
      if (frame.to === undefined) this.#records.clear();
      return PASS;
    }
    const from = parseJid(frame.from ?? '');
    if (from === undefined) return PASS;
    const bareJid = from.local === undefined ? from.domain : `${from.local}@${from.domain}`;
    if (frame.type === 'unavailable') {
      if (from.resource === undefined) this.#records.deleteBare(bareJid);
      else this.#records.delete(bareJid, from.resource);
    } else if (from.resource !== undefined) {
      this.#records.set(bareJid, from.resource, withoutAnnotations(frame), stanza.now);
    }
    return PASS;
  }

  /** The last presence of a full JID while it is available. */
  latest(fullJid: string): ReceivedPresence | undefined {
    const jid = prepareJid(fullJid);
    return jid === undefined ? undefined : this.#records.get(bare(jid), jid.slice(bare(jid).length + 1));
  }

  /** The available full JIDs of a bare one, prepared; of a room: its occupants. */
  fullJidsOf(bareJid: string): string[] {
    const jid = prepareJid(bareJid);
    return jid === undefined ? [] : this.#records.resourcesOf(jid).map((resource) => `${jid}/${resource}`);
  }

  /** What a feature has noted about the last presence of a full JID, 0 at first and after each new presence; undefined: there is none. */
  markOf(fullJid: string): number | undefined {
    const jid = prepareJid(fullJid);
    return jid === undefined ? undefined : this.#records.markOf(bare(jid), jid.slice(bare(jid).length + 1));
  }

  /** Notes a small number about the last presence of a full JID; gone with that presence. One feature may do so. */
  mark(fullJid: string, mark: number): void {
    const jid = prepareJid(fullJid);
    if (jid !== undefined) this.#records.setMark(bare(jid), jid.slice(bare(jid).length + 1), mark);
  }

  /** Bare JID, resource (prepared) and mark of every record. It may be stopped and gone on with later, whatever has changed: then some may come twice. */
  marks(): Generator<readonly [bare: string, resource: string, mark: number]> {
    return this.#records.marks();
  }

  /** The entity is known not to be there although it has not said so: a room was entered anew, and it was not in it. */
  forget(fullJid: string): void {
    const jid = prepareJid(fullJid);
    if (jid !== undefined) this.#records.delete(bare(jid), jid.slice(bare(jid).length + 1));
  }

  /** The domains that presence has been received from, prepared. Looks at every bare JID. */
  domains(): Set<string> {
    const domains = new Set<string>();
    for (const bareJid of this.#records.bareJids()) domains.add(domain(bareJid));
    return domains;
  }

  /** Calls for every available full JID (prepared). The records must not be changed meanwhile: nothing of the session runs in between. */
  forEach(visit: (fullJid: string, presence: ReceivedPresence) => void): void {
    this.#records.forEach(visit);
  }

  /** Bytes of memory in use, by a conservative estimate. */
  get bytes(): number {
    return this.#records.bytes;
  }

  /** Records forgotten for want of room, since the session began. */
  get evicted(): number {
    return this.#records.evicted;
  }
}

/** What was said about the presence by others than its sender (XEP-0310) is no part of it. */
function withoutAnnotations(frame: Frame): Buffer {
  if (frame.findChild('state-annotation', NS.psa) < 0) return frame.bytes();
  const splice = new Splice(frame);
  for (let i = 0; i < frame.childCount; i++)
    if (frame.childIs(i, 'state-annotation', NS.psa)) splice.removeChild(i);
  return splice.toBuffer();
}

/** As `presence`, with a budget of bytes a session. */
export function presenceWithin(budget: number): Knowledge<PresenceSession> {
  return {
    name: 'presence',
    key: presenceKey,
    watches: WATCHES,
    needs: [rooms],
    open: (context: FeatureContext) => new PresenceSession(context.know(roomsKey), budget),
  };
}

export const presenceKey = new KnowledgeKey<PresenceSession>('presence');

export const presence: Knowledge<PresenceSession> = presenceWithin(PRESENCE_BYTES);
