import { Buffer } from 'node:buffer';
import type { HeaderAttributes } from '../../../stream/header.js';
import { NS } from '../../../xml/namespaces.js';
import { type BodyAttributes, writeBody } from './body.js';

interface Answered {
  readonly rid: number;
  readonly key: string | undefined;
  /** Its bytes, one in a character: a small buffer would keep 8 KiB of others with it. */
  readonly body: string;
  /** To a request for a pause. */
  readonly isPause: boolean;
  /** How often it has been asked for again. */
  again: number;
}

/** How often one request may be sent again, answered or not, before that is taken for polling (XEP-0124 §14.3). */
export const MOST_REPEATS = 10;

const LESS = 0x3c;
/** What the header of a stream is told by (XEP-0206 §4). */
const HEADER_NEWS: readonly string[] = ['from', 'authid', 'xmpp:version'];
const XBOSH_PREFIX = ['xmlns:xmpp', 'urn:xmpp:xbosh'] as const;
const STREAM_PREFIX = ['xmlns:stream', NS.stream] as const;

/** What there is to say to a client over BOSH, and what has been said and may have to be said again. */
export class Answers {
  #queue: Buffer[] = [];
  #queued = 0;
  /** Something in the queue is the stream's own: XEP-0206 §2 has its prefix declared by the wrapper. */
  #isOfStream = false;
  #answered: Answered[] = [];

  /**
   * @param most answers that are kept, besides those to requests for a pause (XEP-0124 §14.3)
   * @param bytes after which an answer is not added to
   * @param news attributes that the next answer has to have
   */
  constructor(
    private readonly most: number,
    private readonly bytes: number,
    private news: BodyAttributes,
  ) {}

  /** Bytes that wait for a request. */
  get queued(): number {
    return this.#queued;
  }

  /** The stream's header, with the next answer (XEP-0206 §4). */
  header({ from, id, version }: HeaderAttributes): void {
    if (this.news.length === 0) this.news = [XBOSH_PREFIX];
    this.news = [
      ...this.news.filter(([name]) => !HEADER_NEWS.includes(name)),
      ['from', from],
      ['authid', id],
      ['xmpp:version', version],
    ];
  }

  /**
   * One element, for the next answer.
   * @param isOfStream features or an error of the stream
   */
  write(pieces: readonly Buffer[], isOfStream: boolean): void {
    this.#isOfStream ||= isOfStream;
    for (const piece of pieces) {
      this.#queue.push(piece);
      this.#queued += piece.length;
    }
  }

  /**
   * Makes the answer to a request, and keeps it.
   * @param payload whether what waits goes along
   * @param ack the last request that has come, where the client is to be told
   * @param isPause whether it is to a request for a pause
   */
  next(rid: number, key: string | undefined, payload: boolean, ack: number | undefined, isPause: boolean) {
    const news = payload ? this.#head : this.news;
    const elements = payload ? this.#take() : [];
    this.news = [];
    const hasAck = news.some(([name]) => name === 'ack');
    const body = writeBody(hasAck ? news : [...news, ['ack', ack]], elements);
    const answer = { rid, key, body: body.toString('latin1'), isPause, again: 0 };
    // Of pauses that follow each other the last one will do. A new array has no room for more, as one that is pushed to has.
    const former = isPause && this.#answered.at(-1)?.isPause ? this.#answered.slice(0, -1) : this.#answered;
    this.#answered = former.concat(answer);
    while (this.#kept > this.most) this.#answered.shift();
    return { body, isEmpty: elements.length === 0 };
  }

  /** The last one, with all that waits. */
  last(condition: string | undefined): Buffer {
    return writeBody([...this.#head, ['type', 'terminate'], ['condition', condition]], this.#queue.splice(0));
  }

  /** @returns what a request was answered by whose key was that; undefined: it is not kept, or was never asked */
  again(rid: number, key: string | undefined): Buffer | 'too-often' | undefined {
    const answered = this.#answered.find((one) => one.rid === rid);
    if (answered === undefined || answered.key !== key) return undefined;
    if (answered.again === MOST_REPEATS) return 'too-often';
    answered.again += 1;
    return Buffer.from(answered.body, 'latin1');
  }

  /** What the client has had of our answers need not be kept (XEP-0124 §9.2). */
  acknowledged(rid: number): void {
    this.#answered = this.#answered.filter((one) => one.rid > rid);
  }

  forget(): void {
    this.#answered = [];
    this.#queue = [];
    this.#queued = 0;
  }

  get #kept(): number {
    let count = 0;
    for (const { isPause } of this.#answered) if (!isPause) count += 1;
    return count;
  }

  /** The attributes of an answer with what waits. */
  get #head(): BodyAttributes {
    return this.#isOfStream ? [...this.news, STREAM_PREFIX] : this.news;
  }

  #take(): readonly Buffer[] {
    let bytes = 0;
    let count = 0;
    // An element may be several pieces, but never ends in the middle of one.
    while (count < this.#queue.length && (bytes < this.bytes || !this.#endsElement(count))) {
      bytes += this.#queue[count]!.length;
      count += 1;
    }
    this.#queued -= bytes;
    if (this.#queued > 0) return this.#queue.splice(0, count);
    this.#isOfStream = false;
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  #endsElement(count: number): boolean {
    return count === 0 || this.#queue[count]?.[0] === LESS;
  }
}
