import { PassThrough } from 'node:stream';
import type { Element } from 'ltx';
import { Cable, type Listener } from '../integration/cable.js';
import { NS, RawStream } from '../integration/clients/raw-stream.js';
import { numberOf } from './correspondent.js';

/**
 * What is heard in the clear in front of a server: what has been handed to it, and what it has been told to forget (XEP-0198 §4). Both by account, so
 * that they can be compared with what the clients know.
 */
export class Wiretap {
  /** Numbers that went to the server in the name of an account. */
  readonly handed = new Map<string, Set<number>>();
  /** Numbers that came from the server for an account and were acknowledged to it. */
  readonly acknowledged = new Map<string, Set<number>>();

  /** The piece of network that is listened to. */
  before(target: { host: string; port: number }): Promise<Cable> {
    return Cable.to(target, () => new Line(this));
  }
}

/** One connection: whose it is, and what the server waits to have acknowledged over it. */
class Line implements Listener {
  #account = '';
  #counted: (number | undefined)[] | undefined;
  readonly #near = new PassThrough();
  readonly #far = new PassThrough();
  readonly #said = RawStream.over(this.#near);
  readonly #heard = RawStream.over(this.#far);

  constructor(readonly tap: Wiretap) {
    this.#said.onElement = (element) => this.#toServer(element);
    this.#heard.onElement = (element) => this.#fromServer(element);
  }

  fromNear(chunk: Buffer): void {
    this.#near.write(chunk);
  }

  fromFar(chunk: Buffer): void {
    this.#far.write(chunk);
  }

  #toServer(element: Element): void {
    const number = numberOf(element);
    if (number !== undefined) add(this.tap.handed, this.#account, number);
    if (!element.is('a', NS.sm)) return;
    for (const each of this.#counted?.slice(0, Number(element.attrs.h)) ?? [])
      if (each !== undefined) add(this.tap.acknowledged, this.#account, each);
  }

  #fromServer(element: Element): void {
    if (element.is('success', NS.sasl)) for (const stream of [this.#said, this.#heard]) stream.expectHeader();
    const jid = element.getChild('bind', NS.bind)?.getChildText('jid');
    if (jid) this.#account = jid.split('/')[0] ?? '';
    if (element.is('enabled', NS.sm)) this.#counted = [];
    else if (element.attrs.xmlns === NS.client) this.#counted?.push(numberOf(element));
  }
}

function add(numbers: Map<string, Set<number>>, account: string, number: number): void {
  const known = numbers.get(account) ?? new Set();
  numbers.set(account, known.add(number));
}
