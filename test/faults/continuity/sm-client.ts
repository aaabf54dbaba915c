import { type Element, escapeXML } from 'ltx';
import {
  type Account,
  conditionOf,
  type Endpoint,
  RawClient,
  uniqueId,
} from '../../integration/clients/raw.js';
import { NS } from '../../integration/clients/raw-stream.js';
import { until } from '../../integration/waiting.js';
import type { Ledger } from './ledger.js';

const MUC = 'http://jabber.org/protocol/muc';
const DELAY = 'urn:xmpp:delay';
const PATIENCE_MS = 20_000;
/** Times that a client comes back by itself into a room that has put it out, in one session. */
const REJOINS = 5;

export interface Device {
  /** Such as `romeo.one`: owner and device, however the resource is called just now. */
  name: string;
  owner: string;
  account: Account;
  resource: string;
  priority: number;
  room: string;
}

/** A stanza that is not acknowledged yet. */
interface Sent {
  xml: string;
  /** The message it is, if it is one of those that count. */
  id?: string;
  /** What the other side had been told before that we have received. */
  told: number;
}

/** Stream management as it outlives a connection. */
interface Management {
  /** Without it the session cannot be resumed. */
  id: string | undefined;
  received: number;
  acknowledged: number;
  unacknowledged: Sent[];
  /** The `h` last told on this connection, and the one that has surely been read. */
  told: number;
  certain: number;
}

/**
 * A careful client with stream management (XEP-0198): it acknowledges what it has processed and nothing
 * else, resumes where it can, keeps what was not acknowledged and sends it again, on the resumed stream or
 * in a new session. With a server that has none it simply writes.
 */
export class SmClient {
  /** How many stanzas of a room's history to ask for when joining anew. */
  historyWanted = () => 0;
  /** Which of its sessions this is, counted from 1. */
  session = 0;
  paused = false;
  jid = '';
  /** How its last connection ended, for the story that a failure tells. */
  lastEnd = '';
  /** Nothing stands between it and the server: what it loses, the server loses too. */
  readonly direct: boolean;
  /** The server has lost the leg of its session, and keeps the session for it if it keeps any. */
  #legLost = false;
  /** When its session began. */
  #since = 0;
  /** Sessions of resources that it has left behind, as long as the proxy may hold them. */
  #leftBehind: { since: number; until: number }[] = [];
  /** What the other side did that no server may do. */
  offence = '';

  #raw: RawClient | undefined;
  #sm: Management | undefined;
  /** Messages from a session that could not be resumed, to be sent again in the next. */
  #again: string[] = [];
  #texts = new Map<string, string>();
  #joined = false;
  /** Of this session nothing behind its first presence has come yet. */
  #isEarly = true;
  #joins = 0;
  #plainCount = 0;

  constructor(
    readonly device: Device,
    readonly endpoint: Endpoint,
    readonly ledger: Ledger,
    via: 'direct' | 'proxy',
    readonly holdSeconds: number,
  ) {
    this.direct = via === 'direct';
  }

  get name(): string {
    return this.device.name;
  }

  get online(): boolean {
    const stream = this.#raw?.stream;
    return stream !== undefined && !stream.closed && !stream.ended;
  }

  /** In its room, and everything it has sent is acknowledged. */
  get settled(): boolean {
    return this.online && this.#joined && this.#again.length === 0 && !this.#sm?.unacknowledged.length;
  }

  /** In the room: each session under its own, because not every server lets two share one. */
  get nickname(): string {
    return `${this.device.room}/${this.device.owner}.${this.device.resource}`;
  }

  get resumable(): boolean {
    return this.#sm?.id !== undefined;
  }

  get state(): string {
    const sm = this.#sm;
    const counts = sm
      ? `h=${sm.received} certain=${sm.certain} acked=${sm.acknowledged} open=${sm.unacknowledged.length}`
      : 'no sm';
    return `${this.jid} session ${this.session} online=${this.online} paused=${this.paused} in room=${this.#joined} ${counts} ${this.lastEnd}`;
  }

  say(id: string, to: string, type: 'chat' | 'groupchat'): void {
    const text = `<message to='${escapeXML(to)}' type='${type}' id='${id}'><body>${id}</body></message>`;
    this.#texts.set(id, text);
    if (!this.#sm) this.ledger.acknowledged(id); // it will never know more
    this.#send(text, id);
  }

  /** Tells what it has received and asks for the same. */
  ask(): void {
    if (!this.online || !this.#sm) return;
    this.#tell();
    this.#raw?.stream.write(`<r xmlns='${NS.sm}'/>`);
  }

  /** A round trip to the server: for a client without stream management the only sign of life. */
  async ping(): Promise<void> {
    const id = uniqueId();
    const raw = this.#raw;
    this.#send(`<iq type='get' id='${id}' to='${this.endpoint.domain}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    await raw?.expect('an answer to a ping', (element) => element.is('iq') && element.attrs.id === id);
  }

  /** Loses its connection without a word. */
  cut(): void {
    if (this.direct && this.online) this.legLost();
    this.#raw?.stream.cut();
    this.paused = false;
  }

  /** The server's connection for the session that it has now is lost. */
  legLost(): void {
    this.#legLost = true;
    this.ledger.happened('leg lost', this.name, this.#since);
  }

  /** The proxy is gone, and with it what it has held. */
  proxyLost(): void {
    this.legLost();
    for (const { since, until } of this.#leftBehind.splice(0))
      if (until > Date.now()) this.ledger.happened('broken off', this.name, since);
  }

  pause(): void {
    this.paused = true;
    this.#raw?.stream.pause();
  }

  unpause(): void {
    this.paused = false;
    this.#raw?.stream.resume();
  }

  /** Says goodbye; what was not acknowledged by then stays open. */
  async close(): Promise<void> {
    const raw = this.#raw;
    if (!raw || !this.online) return;
    this.unpause();
    if (this.#sm) this.#tell();
    if (this.direct) this.legLost();
    // The other side may be lost in the same moment.
    await raw.close().catch(() => raw.stream.cut());
    this.#endSession();
  }

  /** A new connection for the same session, whether or not the old one is still there; a new session if that fails. */
  async resume(): Promise<'resumed' | 'bound'> {
    return this.#comeBack(this.resumable);
  }

  /** A new session, with the same resource or with another; an older one is forgotten. */
  async rebind(resource = this.device.resource): Promise<void> {
    if (resource !== this.device.resource)
      this.#leftBehind.push({ since: this.#since, until: Date.now() + (this.holdSeconds + 1) * 1_000 });
    this.device.resource = resource;
    await this.#comeBack(false);
  }

  async #comeBack(resuming: boolean): Promise<'resumed' | 'bound'> {
    const old = this.#raw;
    if (this.direct && this.online) this.legLost();
    // From here on nothing counts that still comes on the old connection.
    this.#raw = undefined;
    this.paused = false;
    let how: 'resumed' | 'bound' | undefined;
    // jabberd2 refuses a login now and then, and a proxy that is going down does too.
    await until(
      `${this.name} to be back`,
      async () => {
        try {
          how = await this.#connect(resuming && this.resumable);
          return true;
        } catch (error) {
          this.lastEnd = String(error).slice(0, 300);
          this.#raw?.stream.cut();
          return false;
        }
      },
      PATIENCE_MS,
    );
    old?.stream.cut();
    return how ?? 'bound';
  }

  async #connect(resuming: boolean): Promise<'resumed' | 'bound'> {
    const raw = await RawClient.connect(this.endpoint);
    this.#raw = raw;
    raw.stream.onElement = (element) => this.#received(raw, element);
    await raw.openStream();
    await raw.authenticate(this.device.account, raw.mechanisms.includes('PLAIN') ? 'PLAIN' : undefined);
    if (resuming && (await this.#resumeOn(raw))) return 'resumed';
    this.#endSession();
    // What comes right behind the answer is in the new session too: ejabberd gives it what another had not acknowledged.
    this.session += 1;
    this.#isEarly = true;
    this.#plainCount = 0;
    this.jid = await raw.bind(this.device.resource);
    this.#since = Date.now();
    this.#joined = false;
    this.#joins = 0;
    if (raw.offersSm) {
      raw.stream.write(`<enable xmlns='${NS.sm}' resume='true'/>`);
      await raw.expect('enabled', (element) => element.is('enabled', NS.sm));
    }
    this.#send(`<presence><priority>${this.device.priority}</priority></presence>`);
    this.#join();
    await raw.stream.when(`${this.name} to be in the room`, () => this.#joined || !this.online);
    if (!this.online) throw new Error('the connection broke before the room was joined');
    for (const id of this.#again.splice(0)) {
      this.ledger.sentAgain(id);
      this.#send(this.#texts.get(id) ?? '', id);
    }
    this.ask();
    return 'bound';
  }

  async #resumeOn(raw: RawClient): Promise<boolean> {
    const sm = this.#sm;
    if (!sm) return false;
    sm.told = sm.received;
    raw.stream.write(`<resume xmlns='${NS.sm}' previd='${escapeXML(sm.id ?? '')}' h='${sm.received}'/>`);
    const answer = await raw.expect(
      'resumed or failed',
      (element) => element.is('resumed', NS.sm) || element.is('failed', NS.sm),
    );
    return answer.is('resumed');
  }

  #join(): void {
    const history = `<history maxstanzas='${this.historyWanted()}'/>`;
    this.#joins += 1;
    this.#send(`<presence to='${this.nickname}'><x xmlns='${MUC}'>${history}</x></presence>`);
  }

  #send(xml: string, id?: string): void {
    if (this.#sm) this.#sm.unacknowledged.push({ xml, ...(id ? { id } : {}), told: this.#sm.told });
    this.#raw?.stream.write(xml);
  }

  #tell(): void {
    const sm = this.#sm;
    if (!sm) return;
    sm.told = sm.received;
    this.#raw?.stream.write(`<a xmlns='${NS.sm}' h='${sm.received}'/>`);
  }

  /** Nothing goes on with the counts of this session: what is open has to be said again in the next. */
  #endSession(): void {
    const sm = this.#sm;
    this.#sm = undefined;
    this.#joined = false;
    this.ledger.happened('session over', this.name, this.#since);
    if (this.#legLost) this.ledger.happened('broken off', this.name, this.#since);
    this.#legLost = false;
    if (!sm) return;
    this.ledger.sessionEnded(this.name, this.session, sm.certain);
    for (const { id } of sm.unacknowledged) if (id) this.#again.push(id);
  }

  /** Everything that must happen before the next stanza is looked at. */
  #received(raw: RawClient, element: Element): void {
    if (raw !== this.#raw) return;
    // What nobody waits for would otherwise pile up.
    raw.stream.inbox.length = 0;
    if (element.attrs.xmlns === NS.sm) this.#management(element);
    if (element.is('error', NS.streams)) this.lastEnd = conditionOf(element);
    if (!['message', 'presence', 'iq'].includes(element.name)) return;
    if (this.#sm) this.#sm.received += 1;
    else this.#plainCount += 1;
    if (element.is('message')) this.#heard(element);
    if (element.is('presence')) this.#sawPresence(element);
    if (element.is('iq') && /^(get|set)$/.test(element.attrs.type)) this.#refuse(element);
  }

  #management(element: Element): void {
    const sm = this.#sm;
    if (element.is('r')) this.#tell();
    if (element.is('a') && sm) this.#acknowledge(sm, Number(element.attrs.h));
    if (element.is('failed') && sm && element.attrs.h !== undefined)
      this.#acknowledge(sm, Number(element.attrs.h));
    if (element.is('enabled')) {
      const resumable = /^(true|1)$/.test(element.attrs.resume ?? '');
      this.#sm = {
        ...{ id: resumable ? element.attrs.id : undefined, received: 0, acknowledged: 0 },
        ...{ unacknowledged: [], told: 0, certain: 0 },
      };
    }
    if (element.is('resumed') && sm) {
      sm.certain = sm.told;
      this.#legLost = false;
      this.#acknowledge(sm, Number(element.attrs.h));
      for (const open of sm.unacknowledged) {
        open.told = sm.told;
        this.#raw?.stream.write(open.xml);
      }
      this.ask();
    }
  }

  #acknowledge(sm: Management, handled: number): void {
    const sent = sm.acknowledged + sm.unacknowledged.length;
    if (!(handled >= sm.acknowledged && handled <= sent))
      this.offence ||= `${this.name} was told h=${handled} behind ${sm.acknowledged}, and had sent ${sent}`;
    while (sm.acknowledged < handled) {
      const done = sm.unacknowledged.shift();
      sm.acknowledged += 1;
      if (!done) return;
      // Who has read this stanza has read the acknowledgement before it.
      sm.certain = Math.max(sm.certain, done.told);
      if (done.id) this.ledger.acknowledged(done.id);
    }
  }

  #heard(message: Element): void {
    const id = message.attrs.id ?? '';
    if (!this.ledger.has(id)) return;
    if (message.attrs.type === 'error') {
      const error = message.getChild('error');
      this.ledger.returned(id, error ? conditionOf(error) : 'no condition');
      return;
    }
    const inRoom = message.attrs.from?.startsWith(`${this.device.room}/`);
    const delayed = message.getChild('delay', DELAY)?.attrs.from ?? '';
    this.ledger.arrived(id, {
      device: this.name,
      audience: inRoom ? this.name : this.device.owner,
      session: this.session,
      ordinal: this.#sm?.received ?? this.#plainCount,
      // Also what is resent bears a delay, but from the server or the account.
      history: Boolean(inRoom && delayed.startsWith(this.device.room)),
      early: this.#isEarly,
    });
  }

  #sawPresence(presence: Element): void {
    if (presence.attrs.from !== this.nickname) return;
    const type = presence.attrs.type;
    if (type === undefined) {
      this.#joined = true;
      this.#isEarly = false;
    }
    // A nickname is taken as long as an older session of this device has not left.
    if (type === 'error' && !this.#joined) setTimeout(() => this.online && this.#join(), 50);
    if (type === 'unavailable' && this.#joined) {
      this.#joined = false;
      this.ledger.touched(this.name);
      if (this.#joins < REJOINS) this.#join();
    }
  }

  #refuse(iq: Element): void {
    const { from, id } = iq.attrs;
    const to = from ? `to='${escapeXML(from)}'` : '';
    this.#send(
      `<iq type='error' id='${escapeXML(id ?? '')}' ${to}><error type='cancel'><service-unavailable xmlns='${NS.stanzas}'/></error></iq>`,
    );
  }
}
