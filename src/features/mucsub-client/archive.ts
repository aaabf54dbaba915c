import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import type { FeatureContext, IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeText } from '../../xml/serialize.js';
import { asGroupchat } from './conversion.js';
import { markOf } from './marks.js';
import type { Said } from './merging.js';
import { parseTime, writeTime } from './times.js';

const PAGE = 100;

/** Reads on in a room's archive from where a client has stopped (XEP-0313), page by page. */
export class ArchiveReading {
  readonly queryId: string;
  readonly found: Said[] = [];
  #byTime: boolean;

  constructor(
    private readonly context: FeatureContext,
    private readonly room: string,
    /** Of the last message that the client has had. */
    private readonly lastId: string | undefined,
    /** When that was; ms since 1970. */
    private readonly since: number,
    private readonly most: number,
    private readonly done: () => void,
  ) {
    this.queryId = context.randomId();
    this.#byTime = lastId === undefined;
  }

  begin(): void {
    this.#ask(this.lastId);
  }

  #ask(after: string | undefined): void {
    const field = (name: string, value: string, type = '') =>
      `<field var='${name}'${type}><value>${escapeText(value)}</value></field>`;
    const start = this.#byTime ? field('start', writeTime(this.since)) : '';
    const form = `${field('FORM_TYPE', NS.mam2, " type='hidden'")}${start}`;
    const from = after === undefined ? '' : `<after>${escapeText(after)}</after>`;
    const max = Math.min(PAGE, this.most - this.found.length);
    const payload =
      `<query xmlns='${NS.mam2}' queryid='${this.queryId}'><x xmlns='${NS.dataForms}' type='submit'>${form}</x>` +
      `<set xmlns='${NS.resultSets}'><max>${max}</max>${from}</set></query>`;
    this.context.request({ leg: 'server', type: 'set', to: this.room, payload }, (answer) =>
      this.#answered(answer),
    );
  }

  #answered(answer: IqAnswer): void {
    const fin = answer.kind === 'result' ? answer.iq.getChild('fin', NS.mam2) : undefined;
    if (fin === undefined) {
      // The archive may not have that message any more.
      if (answer.kind === 'error' && answer.condition === 'item-not-found' && !this.#byTime) {
        this.#byTime = true;
        this.#ask(undefined);
      } else this.done();
      return;
    }
    const last = fin.getChild('set', NS.resultSets)?.getChildText('last');
    const isAll = fin.attrs.complete === 'true' || last === null || last === undefined || last === '';
    if (isAll || this.found.length >= this.most) this.done();
    else this.#ask(last);
  }

  /** @param message from the room's bare JID, with a `<result/>` @returns whether it is one of the answers */
  takes(message: Element): boolean {
    const result = message.getChild('result', NS.mam2);
    if (result?.attrs.queryid !== this.queryId) return false;
    const forwarded = result.getChild('forwarded', NS.forward0);
    const inner = forwarded?.getChildElements().find((child) => child.getName() === 'message');
    const stamp = parseTime(String(forwarded?.getChild('delay', NS.delay)?.attrs.stamp ?? ''));
    const id = String(result.attrs.id ?? '');
    if (inner === undefined || Number.isNaN(stamp) || id === '') return true;
    const { from, type } = inner.attrs as Record<string, string | undefined>;
    if (type !== 'groupchat' || prepareJid(bare(from ?? '')) !== this.room) return true;
    // A subject is no message, and the room tells the last one anyway.
    if (inner.getChild('subject') !== undefined && inner.getChild('body') === undefined) return true;
    const mark = markOf(inner, this.room, stamp, id);
    const xml = Buffer.from(asGroupchat(inner, this.room, stamp, id));
    if (this.found.length < this.most) this.found.push({ mark, xml, seq: undefined });
    return true;
  }
}
