import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import { ArchivePages, type ArchivePlace, PAGE } from '../../knowledge/rooms/archive-pages.js';
import type { FeatureContext } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { parseTime } from '../../xml/times.js';
import { asGroupchat } from './conversion.js';
import { markOf } from './marks.js';
import type { Said } from './merging.js';

/** Reads on in a room's archive from where a client has stopped (XEP-0313). */
export class ArchiveReading {
  readonly found: Said[] = [];
  readonly #pages: ArchivePages;

  /** @param place of the last message that the client has had */
  constructor(
    context: FeatureContext,
    private readonly place: ArchivePlace,
    private readonly most: number,
    done: () => void,
  ) {
    const left = () => Math.max(0, Math.min(PAGE, this.most - this.found.length));
    this.#pages = new ArchivePages(context, place, left, done);
  }

  begin(): void {
    this.#pages.begin();
  }

  /** @param message from the room's bare JID, with a `<result/>` @returns whether it is one of the answers */
  takes(message: Element): boolean {
    const result = message.getChild('result', NS.mam2);
    if (result?.attrs.queryid !== this.#pages.queryId) return false;
    const forwarded = result.getChild('forwarded', NS.forward0);
    const inner = forwarded?.getChildElements().find((child) => child.getName() === 'message');
    const stamp = parseTime(String(forwarded?.getChild('delay', NS.delay)?.attrs.stamp ?? ''));
    const id = String(result.attrs.id ?? '');
    if (inner === undefined || Number.isNaN(stamp) || id === '') return true;
    const { from, type } = inner.attrs as Record<string, string | undefined>;
    if (type !== 'groupchat' || prepareJid(bare(from ?? '')) !== this.place.room) return true;
    // A subject is no message, and the room tells the last one anyway.
    if (inner.getChild('subject') !== undefined && inner.getChild('body') === undefined) return true;
    const mark = markOf(inner, this.place.room, stamp, id);
    const xml = Buffer.from(asGroupchat(inner, this.place.room, stamp, id));
    if (this.found.length < this.most) this.found.push({ mark, xml, seq: undefined });
    return true;
  }
}
