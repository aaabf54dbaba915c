import { createHash, createHmac } from 'node:crypto';
import type { Element } from 'ltx';
import { type Account, type Endpoint, RawClient } from './raw.js';
import { NS } from './raw-stream.js';
import { type Mechanism, startSasl } from './sasl.js';

export const SASL2 = 'urn:xmpp:sasl:2';
export const BIND2 = 'urn:xmpp:bind:0';
export const FAST = 'urn:xmpp:fast:0';
export const MAM = 'urn:xmpp:mam:2';
export const CARBONS = 'urn:xmpp:carbons:2';
export const START = 'urn:interstanza:session-start:0';

export interface Token {
  token: string;
  expiry: string;
}

/** One message that a client has been given, however it came. */
export interface Given {
  how: 'archive' | 'live' | 'copy';
  body: string;
}

/**
 * A client that starts its session in one request (XEP-0388, XEP-0386). It sends its header and the request at once: what is offered was learnt on an
 * earlier connection. `roundTrips` counts how often it had to wait for the other side before it could say more, TLS not counted.
 */
export class OneStepClient {
  roundTrips = 0;
  /** Everything that came, in order. */
  readonly received: Element[] = [];
  #spoken = false;
  /** What it has said to have received, when it asked to resume. */
  #handled = 0;

  private constructor(
    readonly raw: RawClient,
    readonly domain: string,
  ) {
    const count = raw.stream.onElement;
    raw.stream.onElement = (element) => {
      this.received.push(element);
      if (element.is('success', SASL2)) this.#succeeded(element);
      count?.(element);
    };
  }

  static async connect(endpoint: Endpoint): Promise<OneStepClient> {
    const raw = await RawClient.connect(endpoint);
    await raw.stream.secure(endpoint.domain, ['xmpp-client']);
    return new OneStepClient(raw, endpoint.domain);
  }

  say(xml: string, stanzas?: number): void {
    this.#spoken = true;
    this.#handled = Number(/<resume [^>]*\bh='(\d+)'/.exec(xml)?.[1] ?? this.#handled);
    this.raw.send(xml, stanzas);
  }

  hear(what: string, predicate: (element: Element) => boolean, deadlineMs?: number): Promise<Element> {
    if (this.#spoken) this.roundTrips += 1;
    this.#spoken = false;
    return this.raw.expect(what, predicate, deadlineMs);
  }

  /** Stanzas count from here on (XEP-0198 §3), or go on counting. */
  #succeeded(success: Element): void {
    const resumed = success.getChild('resumed', NS.sm);
    if (resumed === undefined && find(success, 'enabled') === undefined) return;
    const received = resumed === undefined ? 0 : this.#handled;
    const sent = Number(resumed?.attrs.h ?? 0);
    this.raw.sm = { received, sent, acknowledged: sent, answersRequests: true };
  }

  header(from?: string): string {
    const who = from === undefined ? '' : `from='${from}' `;
    return `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='${NS.streams}' ${who}to='${this.domain}' version='1.0'>`;
  }

  /** @returns `<success/>` */
  async start(account: Account, mechanism: Mechanism, inline: string, from?: string): Promise<Element> {
    const run = startSasl(mechanism, account.name, account.password, account.domain);
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const initial =
      run.initial === undefined ? '' : `<initial-response>${base64(run.initial)}</initial-response>`;
    this.say(
      `${this.header(from)}<authenticate xmlns='${SASL2}' mechanism='${mechanism}'>${initial}${inline}</authenticate>`,
    );
    for (;;) {
      const step = await this.hear('the next step', (element) => element.attrs.xmlns === SASL2);
      if (step.name === 'failure') throw new Error(`refused: ${step}`);
      if (step.name === 'success') {
        const final = step.getChildText('additional-data');
        if (final) run.verify(Buffer.from(final, 'base64').toString());
        this.raw.jid = step.getChildText('authorization-identifier') ?? '';
        return step;
      }
      const answer = run.answer(Buffer.from(step.getText(), 'base64').toString());
      this.say(`<response xmlns='${SASL2}'>${base64(answer)}</response>`);
    }
  }

  /** Resumes by a token (XEP-0484). @param certificate to which the token is bound @returns `<success/>` or `<failure/>` */
  async resume(
    account: Account,
    token: string,
    inline: string,
    count?: number,
    certificate?: Buffer,
  ): Promise<Element> {
    const mechanism = certificate === undefined ? 'HT-SHA-256-NONE' : 'HT-SHA-256-ENDP';
    const binding =
      certificate === undefined ? Buffer.alloc(0) : createHash('sha256').update(certificate).digest();
    const keyed = (role: string) => createHmac('sha256', token).update(role).update(binding).digest();
    const proof = keyed('Initiator');
    const message = Buffer.concat([Buffer.from(`${account.name}\0`), proof]).toString('base64');
    const counted = count === undefined ? '' : ` count='${count}'`;
    this.say(
      `${this.header(account.jid)}<authenticate xmlns='${SASL2}' mechanism='${mechanism}'>` +
        `<initial-response>${message}</initial-response><fast xmlns='${FAST}'${counted}/>${inline}</authenticate>`,
    );
    const answer = await this.hear('the answer to a token', (element) => element.attrs.xmlns === SASL2);
    const expected = keyed('Responder').toString('base64');
    if (answer.name === 'success' && answer.getChildText('additional-data') !== expected)
      throw new Error('the other side does not know the token');
    return answer;
  }

  /** The messages it has been given, in the order in which they came. */
  given(): Given[] {
    return this.received.flatMap((element): Given[] => {
      if (element.name !== 'message') return [];
      const result = element.getChild('result', MAM);
      const copy = element.getChild('received', CARBONS) ?? element.getChild('sent', CARBONS);
      const inner = (result ?? copy)?.getChild('forwarded')?.getChild('message') ?? element;
      const body = inner.getChildText('body');
      if (!body) return [];
      return [{ how: result ? 'archive' : copy ? 'copy' : 'live', body }];
    });
  }
}

/** The first element of this name anywhere inside. */
export function find(element: Element, name: string): Element | undefined {
  for (const child of element.getChildElements()) {
    const found = child.name === name ? child : find(child, name);
    if (found) return found;
  }
  return undefined;
}
