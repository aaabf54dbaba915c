import { Buffer } from 'node:buffer';
import { type HeaderAttributes, streamHeader } from '../../../stream/header.js';
import { type Agreement, agree, agreedAttributes, type BoshSettings } from './agreement.js';
import { Answers, MOST_REPEATS } from './answers.js';
import { type BoshRequest, writeBody } from './body.js';
import { RECOVERABLE, type TerminalCondition, terminal } from './conditions.js';
import { KeySequence } from './key-sequence.js';
import { isUrgent, RequestRate } from './request-rate.js';

/** The commands of an exchange. `H` is what a request can be answered by. */
export interface ExchangePort<H> {
  /** Bytes of the client's stream, in their order. */
  deliver(bytes: Buffer): void;
  /** @param condition of an answer that terminates the session for the client's fault; for clients that expect HTTP's own codes */
  answer(handle: H, body: Buffer, condition: TerminalCondition | undefined): void;
  /** The client will be silent for a while, or is back. */
  paused(paused: boolean): void;
  /** Nothing comes any more: the session was terminated, or the client is gone. Called once. */
  over(how: 'ended' | 'lost'): void;
  /** Replaces the former wish; ms; Infinity: none. */
  wakeAt(time: number): void;
}

interface Held<H> {
  readonly rid: number;
  readonly since: number;
  readonly key: string | undefined;
  /** Undefined: its connection is gone, and the client will ask again. */
  handle: H | undefined;
  readonly isPause: boolean;
  /** How often it has been asked again. */
  again: number;
}

/** One that has come before its turn. */
interface Early<H> {
  readonly rid: number;
  readonly request: BoshRequest;
  handle: H;
  /** When it came first. */
  readonly at: number;
}

/**
 * One session over BOSH: requests, which may come late, twice or in the wrong order, on one side, and a stream of bytes on the other
 * (XEP-0124). Pure: requests and the time come in, answers go out through the port. In one file, because each rule of the window, of what is held and of when
 * a client is gone is about the same few requests.
 */
export class BoshExchange<H> {
  readonly #port: ExchangePort<H>;
  readonly #settings: BoshSettings;
  readonly #agreed: Agreement;
  /** What the first request has said of the stream. */
  readonly #stream: HeaderAttributes;
  readonly #keys: KeySequence;
  readonly #answers: Answers;
  readonly #rate: RequestRate;
  /** The last request that has been taken, and the last that has been answered. */
  #last: number;
  #held: Held<H>[];
  /** As many as the window is wide, the one that came first in front. */
  #early: Early<H>[] = [];
  /** Since when nothing can be answered. */
  #quietSince: number;
  #inactivity: number;
  #paused = false;
  #blocked = false;
  /** What ends the session, once it has been told or can be. */
  #final: { readonly condition: TerminalCondition | undefined } | undefined;
  #over = false;

  /** @param request the first, which has a `rid` */
  constructor(
    port: ExchangePort<H>,
    settings: BoshSettings,
    request: BoshRequest,
    sid: string,
    handle: H,
    now: number,
  ) {
    const rid = request.rid ?? 0;
    this.#port = port;
    this.#settings = settings;
    this.#agreed = agree(settings, request);
    this.#stream = request.stream;
    this.#keys = new KeySequence(request);
    this.#answers = new Answers(
      this.#agreed.requests,
      settings.answerBytes,
      agreedAttributes(this.#agreed, settings, request, sid),
    );
    this.#rate = new RequestRate(this.#agreed.polls, settings.polling * 1000, rid);
    this.#inactivity = this.#agreed.inactivity;
    this.#last = rid;
    this.#held = [{ rid, since: now, key: undefined, handle, isPause: false, again: 0 }];
    this.#quietSince = now;
  }

  /** Passes on what the first request says. To be called when all around is ready to hear of it. */
  begin(request: BoshRequest, now: number): void {
    this.#deliver(Buffer.from(streamHeader(request.stream)), request.payload);
    if (request.terminate && !this.#over) this.#terminated(now);
    else this.flush(now);
  }

  /** Bytes that wait for a request. */
  get queued(): number {
    return this.#answers.queued;
  }

  /** The client has not named a version: it expects HTTP's own codes. */
  get legacy(): boolean {
    return this.#agreed.legacy;
  }

  /** It has ended, and its client has still to come for the last words. */
  get isToBeTold(): boolean {
    return this.#final !== undefined && !this.#over;
  }

  get over(): boolean {
    return this.#over;
  }

  // What the client sends.

  /** @param handle by which it can be answered */
  request(request: BoshRequest, handle: H, now: number): void {
    const { rid } = request;
    if (this.#over) this.#refuse(handle, 'item-not-found');
    else if (rid === undefined) this.violated('bad-request', handle);
    else if (rid <= this.#last) this.#again(rid, request, handle, now);
    // One more may come if it is to pause or to end (XEP-0124 §11).
    else if (rid > this.#last + this.#agreed.requests + (isUrgent(request) ? 1 : 0))
      this.violated('item-not-found', handle);
    else {
      if (rid === this.#last + 1 && !this.#mustWait(request))
        this.#take({ rid, request, handle, at: now }, now);
      else this.#wait(rid, request, handle, now);
      this.#takeInOrder(now);
      this.flush(now);
    }
  }

  /** The session does not read, and there is something to be read. */
  #mustWait({ payload }: BoshRequest): boolean {
    return this.#blocked && payload.length > 0;
  }

  /** It waits for its turn. */
  #wait(rid: number, request: BoshRequest, handle: H, now: number): void {
    const early = this.#early.find((one) => one.rid === rid);
    if (early === undefined) this.#early.push({ rid, request, handle, at: now });
    else {
      this.#port.answer(early.handle, RECOVERABLE, undefined);
      early.handle = handle;
    }
  }

  /** A request's connection is gone before it was answered. */
  gone(handle: H, now: number): void {
    if (this.#early.length > 0) this.#early = this.#early.filter((early) => early.handle !== handle);
    for (const held of this.#held) if (held.handle === handle) held.handle = undefined;
    this.#noteQuiet(now);
    this.#setTimer();
  }

  /** While the session does not read, what has a payload is not taken, and the window is full soon. */
  block(blocked: boolean, now: number): void {
    this.#blocked = blocked;
    if (blocked || this.#over) return;
    this.#takeInOrder(now);
  }

  #takeInOrder(now: number): void {
    while (!this.#over) {
      const at = this.#early.findIndex((one) => one.rid === this.#last + 1);
      const next = this.#early[at];
      if (next === undefined || this.#mustWait(next.request)) return;
      this.#early = this.#early.filter((one) => one !== next);
      this.#take(next, now);
    }
  }

  /** The next request in order. */
  #take({ request, handle, at }: Early<H>, now: number): void {
    if (!this.#keys.fits(request)) {
      this.violated('item-not-found', handle);
      return;
    }
    const pausesTooLong = request.pause !== undefined && request.pause > this.#settings.maxPause;
    if (pausesTooLong || this.#rate.isTooHigh(request, at, this.#isFilledByOne)) {
      this.violated('policy-violation', handle);
      return;
    }
    const rid = this.#last + 1;
    this.#last = rid;
    this.#rate.taken(request, rid, at);
    const isPause = request.pause !== undefined;
    const held = { rid, since: at, key: request.key?.toLowerCase(), handle, isPause, again: 0 };
    // An array that is pushed to makes room for sixteen more, and most sessions have one request that is held.
    this.#held = this.#held.concat(held);
    this.#inactivity = this.#agreed.inactivity;
    if (this.#agreed.acknowledges && request.ack !== undefined) this.#answers.acknowledged(request.ack);
    if (this.#paused) {
      this.#paused = false;
      this.#port.paused(false);
    }
    if (request.restart) this.#deliver(this.#header(request));
    else this.#deliver(request.payload);
    // What it said may have been the end of it.
    if (this.#over) return;
    if (request.terminate) this.#terminated(now);
    else if (request.pause !== undefined) this.#pause(request.pause, now);
  }

  /** Of a stream that begins anew: what it should say and does not is as it was (XEP-0206 §5). */
  #header({ stream }: BoshRequest): Buffer {
    const { to, lang } = this.#stream;
    return Buffer.from(streamHeader({ ...stream, to: stream.to ?? to, lang: stream.lang ?? lang }));
  }

  #deliver(...pieces: readonly Buffer[]): void {
    for (const piece of pieces) if (piece.length > 0) this.#port.deliver(piece);
  }

  /** With one request more there are as many open ones as may be. */
  get #isFilledByOne(): boolean {
    return (
      this.#held.length + 1 >= this.#agreed.requests && this.#held.every(({ handle }) => handle !== undefined)
    );
  }

  /** A request that has come before: its answer again, or, if there is none yet, to whoever asked last (XEP-0124 §14.3). */
  #again(rid: number, request: BoshRequest, handle: H, now: number): void {
    const key = request.key?.toLowerCase();
    const held = this.#held.find((one) => one.rid === rid);
    if (held !== undefined && held.key === key) {
      if (held.again === MOST_REPEATS) {
        this.violated('policy-violation', handle);
        return;
      }
      held.again += 1;
      if (held.handle !== undefined) this.#port.answer(held.handle, RECOVERABLE, undefined);
      held.handle = handle;
      this.flush(now);
      return;
    }
    const body = this.#answers.again(rid, key);
    if (body === undefined) this.violated('item-not-found', handle);
    else if (body === 'too-often') this.violated('policy-violation', handle);
    else this.#port.answer(handle, body, undefined);
  }

  /** XEP-0124 §10: all is answered at once, the request itself without a payload. */
  #pause(seconds: number, now: number): void {
    this.#answerAll(now, this.#held.length - 1);
    this.#paused = true;
    this.#inactivity = seconds;
    this.#port.paused(true);
    this.#setTimer();
  }

  /** XEP-0124 §13: the oldest says so, the others nothing. */
  #terminated(now: number): void {
    this.#port.deliver(Buffer.from('</stream:stream>'));
    if (this.#over) return;
    this.#final = { condition: undefined };
    this.#finish(now);
  }

  // What the session writes.

  /** The stream's header, with the next answer (XEP-0206 §4). */
  header(attributes: HeaderAttributes): void {
    this.#answers.header(attributes);
  }

  /**
   * One element, for the next answer.
   * @param isOfStream features or an error of the stream
   */
  write(pieces: readonly Buffer[], isOfStream = false): void {
    if (!this.#over) this.#answers.write(pieces, isOfStream);
  }

  /** The stream is over: what is queued still goes out, with the word that it was the last. */
  end(condition: TerminalCondition | undefined): void {
    this.#final ??= { condition };
  }

  /** Nothing is waited for any more: whoever still waits for an answer gets this one. */
  destroy(condition: TerminalCondition): void {
    if (this.#over) return;
    const body = terminal(condition);
    this.#over = true;
    for (const { handle } of [...this.#held, ...this.#early])
      if (handle !== undefined) this.#port.answer(handle, body, undefined);
    this.#forget();
  }

  /** Answers what there is an answer to. */
  flush(now: number): void {
    if (this.#over) return;
    if (this.#final !== undefined) {
      if (this.#waits) this.#finish(now);
      else this.#setTimer();
      return;
    }
    // One whose connection is gone holds up none behind it: it is answered by nothing, which can be asked for again.
    while (this.#held.length > this.#agreed.hold || (this.queued > 0 && this.#waits))
      this.#answerOldest(now, true);
    this.#setTimer();
  }

  /** The last words, on the oldest request. */
  #finish(now: number): void {
    const { condition } = this.#final ?? {};
    let told = false;
    for (const held of this.#held.splice(0)) {
      if (held.handle === undefined) continue;
      const body = told ? writeBody([]) : this.#answers.last(condition);
      told = true;
      this.#port.answer(held.handle, body, undefined);
    }
    for (const { handle } of this.#early) this.#port.answer(handle, writeBody([]), undefined);
    this.#quietSince = now;
    this.#end('ended');
  }

  // The time.

  wake(now: number): void {
    if (this.#over) return;
    while (this.#waits && now >= this.#dueAt) this.#answerOldest(now, false);
    const [early] = this.#early;
    const gap = early !== undefined && !this.#blocked && now >= early.at + this.#agreed.inactivity * 1000;
    if (now >= this.#goneAt || gap) {
      this.#lose();
      return;
    }
    this.#setTimer();
  }

  /** Whether there is a request that can be answered. */
  get #waits(): boolean {
    return this.#held.some(({ handle }) => handle !== undefined);
  }

  /** When the first of those that are held has waited for as long as it may; those before it are answered before it. */
  get #dueAt(): number {
    let since = Number.POSITIVE_INFINITY;
    for (const held of this.#held) since = Math.min(since, held.since);
    return since + this.#agreed.wait * 1000;
  }

  /** When the client counts as gone: it has been silent for too long while nothing of its was held. */
  get #goneAt(): number {
    return this.#waits || this.#early.length > 0
      ? Number.POSITIVE_INFINITY
      : this.#quietSince + this.#inactivity * 1000;
  }

  #lose(): void {
    for (const { handle } of this.#early) this.#refuse(handle, 'item-not-found');
    this.#end('lost');
  }

  #setTimer(): void {
    if (this.#over) return;
    let next = this.#goneAt;
    if (this.#waits) next = Math.min(next, this.#dueAt);
    const [early] = this.#early;
    if (early !== undefined && !this.#blocked)
      next = Math.min(next, early.at + this.#agreed.inactivity * 1000);
    this.#port.wakeAt(next);
  }

  // Answers.

  /** @param payload whether it may have one; what has no connection any more gets none, for it may never be asked for again */
  #answerOldest(now: number, payload: boolean): void {
    const held = this.#held.shift();
    if (held === undefined) return;
    const ack = this.#agreed.acknowledges && this.#last !== held.rid ? this.#last : undefined;
    const { body, isEmpty } = this.#answers.next(
      held.rid,
      held.key,
      payload && held.handle !== undefined,
      ack,
      held.isPause,
    );
    if (isEmpty) this.#rate.answeredEmpty(held.rid);
    if (held.handle !== undefined) this.#port.answer(held.handle, body, undefined);
    this.#noteQuiet(now);
  }

  /** @param withPayload so many of them may have one */
  #answerAll(now: number, withPayload: number): void {
    for (let n = 0; this.#held.length > 0; n += 1) this.#answerOldest(now, n < withPayload);
  }

  #noteQuiet(now: number): void {
    if (!this.#waits) this.#quietSince = now;
  }

  // The end.

  /** The client has broken a rule: the session is terminated, and whoever sent what broke it is told which. */
  violated(condition: TerminalCondition, handle: H): void {
    this.#refuse(handle, condition);
    const others = [...this.#held, ...this.#early];
    for (const other of others)
      if (other.handle !== undefined && other.handle !== handle) this.#refuse(other.handle, 'other-request');
    this.#end('lost');
  }

  #refuse(handle: H, condition: TerminalCondition): void {
    this.#port.answer(handle, terminal(condition), condition);
  }

  #end(how: 'ended' | 'lost'): void {
    if (this.#over) return;
    this.#over = true;
    this.#forget();
    this.#port.over(how);
  }

  #forget(): void {
    this.#held = [];
    this.#early = [];
    this.#answers.forget();
    this.#port.wakeAt(Number.POSITIVE_INFINITY);
  }
}
