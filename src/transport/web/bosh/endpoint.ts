import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { XmlLimits } from '../../../xml/limits.js';
import type { LegOwner } from '../../leg.js';
import { StreamCutters } from '../elements.js';
import type { Requester, WebReception } from '../server.js';
import { type BoshRequest, HINT_BYTES, readBody, sessionHint } from './body.js';
import { type TerminalCondition, terminal } from './conditions.js';
import { BoshLeg, type BoshSurroundings } from './leg.js';
import { Reply, wantedType } from './reply.js';

/** 192 bits: more than the 128 that make it unguessable. */
const SID_BYTES = 24;
/** For the wrapper around a stranger's stanza. */
const WRAPPER_BYTES = 2_048;
/** Pieces that a request may come in. */
const MOST_CHUNKS = 4_096;

/** XEP-0124 §10 wants `inactivity` a little above a round trip under difficult conditions, and more for those who poll. */
const SETTINGS = {
  wait: 60,
  hold: 2,
  inactivity: 30,
  pollingInactivity: 75,
  polling: 5,
  maxPause: 120,
} as const;

/** What of a request has come. */
class RequestBody {
  #chunks: Buffer[] = [];
  #length = 0;
  #hinted = false;

  /**
   * @param limit bytes that anybody may send
   * @param wider the limit for who sends more, by how that begins
   */
  constructor(
    private limit: number,
    private readonly wider: (beginning: Buffer) => number,
  ) {}

  /** @returns false when it is too much */
  take(chunk: Buffer): boolean {
    this.#length += chunk.length;
    this.#chunks.push(chunk);
    if (this.#length > this.limit && !this.#hinted) {
      this.#hinted = true;
      this.limit = this.wider(this.beginning());
    }
    return this.#length <= this.limit && this.#chunks.length <= MOST_CHUNKS;
  }

  /** As much as shows whose it is, however small the pieces are that the network made of it. */
  beginning(): Buffer {
    let count = 0;
    for (let bytes = 0; count < this.#chunks.length && bytes < HINT_BYTES; count += 1)
      bytes += this.#chunks[count]?.length ?? 0;
    return Buffer.concat(this.#chunks.slice(0, count));
  }

  /** All of it; nothing is kept. */
  bytes(): Buffer {
    const [first] = this.#chunks;
    const all = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
    this.#chunks = [];
    return all;
  }
}

/** BOSH on one port: takes requests apart, and finds the session that each is for. */
export class BoshEndpoint {
  readonly #reception: WebReception;
  readonly #sessions = new Map<string, BoshLeg>();
  readonly #around: BoshSurroundings;
  #allTold: (() => void) | undefined;

  constructor(reception: WebReception) {
    this.#reception = reception;
    const { clock, namespaces } = reception;
    const cutters = new StreamCutters(namespaces);
    this.#around = {
      clock,
      cutters,
      settings: {
        ...SETTINGS,
        get answerBytes() {
          return reception.limits.queueBytes;
        },
      },
      get queueBytes() {
        return reception.limits.queueBytes;
      },
      get draining() {
        return reception.draining;
      },
    };
  }

  /**
   * Takes a POST.
   * @param headers that every answer has to this origin
   */
  take(
    request: IncomingMessage,
    response: ServerResponse,
    requester: Requester,
    headers: OutgoingHttpHeaders,
  ): void {
    const reply = new Reply(request, response, headers);
    const encoding = request.headers['content-encoding'];
    // What is compressed may be anything once it is not: no `accept` was offered (XEP-0124 §7.2).
    if (encoding !== undefined && encoding !== 'identity') {
      this.#turnAway(request, response, reply, 'bad-request');
      return;
    }
    const body = new RequestBody(
      this.#limits(undefined).stanzaBytes,
      // Only somebody who is known may send more, and the beginning says who that would be.
      (beginning) => this.#limits(this.#hinted(beginning)).stanzaBytes,
    );
    request.on('data', (chunk: Buffer) => {
      if (body.take(chunk)) return;
      request.removeAllListeners('data');
      request.removeAllListeners('end');
      const leg = this.#hinted(body.beginning());
      this.#turnAway(
        request,
        response,
        reply,
        'policy-violation',
        this.#mayUse(leg, requester) ? leg : undefined,
      );
    });
    request.on('end', () => {
      const bytes = body.bytes();
      // A request may be held for a minute, and by the thousand: what it came with need not be.
      request.removeAllListeners('data');
      request.removeAllListeners('end');
      request.rawHeaders.length = 0;
      request.headers = {};
      this.#read(bytes, reply, response, requester);
    });
  }

  /** Resolves when every client has had its last answer. */
  told(): Promise<void> {
    if (this.#sessions.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#allTold = resolve;
    });
  }

  /** One for all legs: made where a session begins it would keep the first request with the session. */
  readonly #forget = (sid: string): void => {
    this.#sessions.delete(sid);
    if (this.#sessions.size === 0) this.#allTold?.();
  };

  close(): void {
    this.#sessions.clear();
  }

  #read(body: Buffer, reply: Reply, response: ServerResponse, requester: Requester): void {
    const { namespaces } = this.#reception;
    const hinted = this.#hinted(body);
    const request = readBody(body, namespaces, this.#limits(hinted));
    const leg = request === undefined ? hinted : this.#sessions.get(request.sid ?? '');
    // XEP-0124 §19.1: whoever has seen a session's ids on its secure way has no use for them on another; the session goes on.
    if (!this.#mayUse(leg, requester)) {
      requester.connection.destroy();
      return;
    }
    if (request === undefined) {
      // A session whose client is told that it is over is over: what would be written to it is lost.
      if (leg === undefined) reply.send(terminal('bad-request'));
      else leg.violated('bad-request', reply);
      return;
    }
    if (request.sid === undefined) {
      // XEP-0124 §17.1: who names no version goes by HTTP's own codes.
      if (request.rid === undefined)
        reply.send(terminal('bad-request'), request.version === undefined ? 'bad-request' : undefined);
      else this.#begin(request, reply, response, requester);
      return;
    }
    if (leg === undefined) {
      reply.send(terminal('item-not-found'));
      return;
    }
    if (leg.trusted) requester.connection.trusted();
    response.on('close', () => {
      if (!response.writableFinished) leg.gone(reply);
    });
    leg.request(request, reply);
  }

  /** The first request of a session (XEP-0124 §7.1). */
  #begin(request: BoshRequest, reply: Reply, response: ServerResponse, requester: Requester): void {
    const { admission, draining } = this.#reception;
    const { address, place, proxied, tls } = requester;
    if (draining) {
      reply.send(terminal('system-shutdown'));
      return;
    }
    const refusal = admission.enter(address);
    if (refusal !== undefined) {
      this.#reception.turnedAway(refusal);
      requester.connection.destroy();
      return;
    }
    const sid = randomBytes(SID_BYTES).toString('base64url');
    reply.contentType = wantedType(request.content) ?? reply.contentType;
    let leg: BoshLeg | undefined;
    const client = (owner: LegOwner) => {
      leg = new BoshLeg(sid, tls !== undefined, this.#around, this.#forget, request, reply, owner);
      return leg;
    };
    this.#reception.welcomeLeg(client, place.listener, address, proxied, tls);
    if (leg === undefined) return;
    const made = leg;
    this.#sessions.set(sid, made);
    made.contentType = reply.contentType;
    response.on('close', () => {
      if (!response.writableFinished) made.gone(reply);
    });
    made.begin(request);
  }

  #hinted(beginning: Buffer): BoshLeg | undefined {
    return this.#sessions.get(sessionHint(beginning) ?? '');
  }

  #mayUse(leg: BoshLeg | undefined, { tls }: Requester): boolean {
    return leg?.secure !== true || tls !== undefined;
  }

  /** Of a request as a whole: one level and one element more than what is in it. */
  #limits(leg: BoshLeg | undefined): XmlLimits {
    const { beforeAuth, afterAuth } = this.#reception.limits;
    if (leg?.trusted !== true)
      return {
        ...beforeAuth,
        depth: beforeAuth.depth + 1,
        stanzaBytes: beforeAuth.stanzaBytes + WRAPPER_BYTES,
      };
    return { ...afterAuth, depth: afterAuth.depth + 1, stanzaBytes: 2 * afterAuth.stanzaBytes };
  }

  /**
   * Answers before all of the request is there, which nobody wants.
   * @param leg that it is for, and that ends by it
   */
  #turnAway(
    request: IncomingMessage,
    response: ServerResponse,
    reply: Reply,
    condition: TerminalCondition,
    leg?: BoshLeg,
  ): void {
    response.shouldKeepAlive = false;
    response.once('finish', () => request.destroy());
    if (leg === undefined) reply.send(terminal(condition));
    else leg.violated(condition, reply);
    this.#reception.turnedAway('request-invalid');
  }
}
