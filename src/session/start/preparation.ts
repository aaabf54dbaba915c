import type { Element } from 'ltx';
import { isSameJid } from '../../jid.js';
import { type Frame, StanzaKind } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';
import type { SessionIdentity } from '../feature.js';
import { METADATA, pageQuery, readMetadata, readPageEnd, readResult } from './archive.js';
import type { ArchiveBounds, ArchiveEnd } from './success.js';

/** What is to be had before `<success/>`. */
export interface Wishes {
  /** The server is of RFC 3921. */
  readonly session: boolean;
  readonly carbons: boolean;
  /** What the archive begins and ends with. */
  readonly archive: boolean;
}

export interface PreparationSurroundings {
  /** Towards the server. */
  readonly send: (xml: string) => void;
  readonly randomId: () => string;
  readonly done: () => void;
}

/** Stanzas for a session that does not exist yet; beyond them it begins with what is known. */
const MOST_EARLY = 500;
const MOST_EARLY_BYTES = 1024 * 1024;

/** What a bound leg is asked before the client hears of it (XEP-0386 §4.2): all at once, for the server takes it in order. */
export class Preparation {
  /** Stanzas that are for the client. */
  readonly early: Frame[] = [];
  /** Undefined while, and if, the server has no archive. */
  bounds: ArchiveBounds | undefined;
  #bytes = 0;
  readonly #open = new Map<string, (answer: Element | undefined) => void>();
  readonly #ends = new Map<string, ArchiveEnd | undefined>();

  constructor(
    private readonly identity: SessionIdentity,
    private readonly around: PreparationSurroundings,
  ) {}

  begin({ session, carbons, archive }: Wishes): void {
    if (session) this.#ask('set', `<session xmlns='${NS.session}'/>`, () => {});
    if (carbons) this.#ask('set', `<enable xmlns='${NS.carbons2}'/>`, () => {});
    if (archive) this.#ask('get', METADATA, (answer) => this.#metadata(answer));
    this.#look();
  }

  takes(frame: Frame): void {
    const answered = this.#answered(frame);
    if (answered !== undefined) {
      const element = frameToElement(frame);
      answered(element.attrs.type === 'result' ? element : undefined);
      this.#look();
      return;
    }
    const result = readResult(frame, this.identity);
    if (result !== undefined && this.#ends.has(result.queryId)) {
      this.#ends.set(result.queryId, { id: result.id, timestamp: result.timestamp });
      return;
    }
    this.early.push(frame.detach());
    this.#bytes += frame.end - frame.start;
    if (this.early.length > MOST_EARLY || this.#bytes > MOST_EARLY_BYTES) this.around.done();
  }

  #answered(frame: Frame): ((answer: Element | undefined) => void) | undefined {
    if (frame.kind !== StanzaKind.Iq || frame.id === undefined) return undefined;
    const { id, type, from } = frame;
    const open = this.#open.get(id);
    const { bare, domain, full } = this.identity;
    const ours = from === undefined || [bare, domain, full].some((jid) => isSameJid(from, jid));
    if (open === undefined || !ours || (type !== 'result' && type !== 'error')) return undefined;
    this.#open.delete(id);
    return open;
  }

  #metadata(answer: Element | undefined): void {
    this.bounds = answer === undefined ? undefined : readMetadata(answer);
    if (this.bounds !== undefined) return;
    // COMPAT: ejabberd 23.01 has an archive but does not describe it: its first and its last message do.
    const start = this.#end(false);
    const end = this.#end(true);
    const both = { answers: 0 };
    for (const { query } of [start, end])
      this.#ask('set', query, (fin) => {
        both.answers += fin === undefined || readPageEnd(fin) === undefined ? 0 : 1;
        if (both.answers === 2)
          this.bounds = { start: this.#ends.get(start.id), end: this.#ends.get(end.id) };
      });
  }

  #end(newest: boolean): { id: string; query: string } {
    const id = this.around.randomId();
    this.#ends.set(id, undefined);
    return { id, query: pageQuery({ queryId: id, most: 1, newest }) };
  }

  #ask(type: 'get' | 'set', payload: string, done: (answer: Element | undefined) => void): void {
    const id = this.around.randomId();
    this.#open.set(id, done);
    this.around.send(`<iq type='${type}' id='${id}'>${payload}</iq>`);
  }

  #look(): void {
    if (this.#open.size === 0) this.around.done();
  }
}
