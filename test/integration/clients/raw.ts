import { randomBytes } from 'node:crypto';
import { type Element, escapeXML } from 'ltx';
import { noteConfidential, notePayloads } from '../confidential.js';
import { DEADLINE_MS, NS, type Predicate, RawStream } from './raw-stream.js';
import { type BindingFlag, type Mechanism, startSasl } from './sasl.js';

export interface Endpoint {
  host: string;
  port: number;
  domain: string;
}

export interface Account {
  name: string;
  password: string;
  domain: string;
  /** `name@domain` */
  jid: string;
}

export interface LoginOptions {
  resource?: string;
  tls?: 'none' | 'starttls' | 'direct';
  mechanism?: Mechanism;
  /** Turns stream management on after binding. */
  sm?: boolean;
  /** More attributes for the stream header, such as `xml:lang` or a namespace declaration. */
  header?: string;
}

/** A stream ended by the other side with an error; `condition` says which. */
export class StreamEnded extends Error {
  constructor(readonly condition: string) {
    super(`stream error ${condition}`);
  }
}

/** Authentication refused; `condition` is the SASL one. */
export class LoginRefused extends Error {
  constructor(readonly condition: string) {
    super(`login refused: ${condition}`);
  }
}

/** A scripted client: a raw stream plus the negotiation that every conversation begins with. */
export class RawClient {
  features: Element | undefined;
  jid = '';
  /** Stream management: stanzas received and sent since it was enabled, and those acknowledged. */
  sm: { received: number; sent: number; acknowledged: number; answersRequests: boolean } | undefined;
  /** Told each count that the other side acknowledges. */
  onAcknowledged: ((handled: number) => void) | undefined;

  private constructor(
    readonly stream: RawStream,
    readonly endpoint: Endpoint,
  ) {
    stream.onElement = (element) => this.#count(element);
  }

  static async connect(endpoint: Endpoint): Promise<RawClient> {
    return new RawClient(await RawStream.connect(endpoint.host, endpoint.port), endpoint);
  }

  /** A client on a stream that is there already. */
  static over(stream: RawStream, endpoint: Endpoint): RawClient {
    return new RawClient(stream, endpoint);
  }

  /** Connects, secures if asked, authenticates, binds, and enables stream management if asked. */
  static async login(endpoint: Endpoint, account: Account, options: LoginOptions = {}): Promise<RawClient> {
    for (let attempt = 1; ; attempt += 1) {
      const client = await RawClient.connect(endpoint);
      try {
        await client.secureAndOpen(options);
        await client.authenticate(account, options.mechanism, options.header);
        await client.bind(options.resource);
        if (options.sm) await client.enableSm();
        return client;
      } catch (error) {
        client.stream.cut();
        // jabberd2 answers a fresh login now and then with what an earlier connection left behind.
        const leftover = error instanceof StreamEnded && error.condition === 'internal-server-error';
        if (!leftover || attempt === 5) throw error;
      }
    }
  }

  async secureAndOpen(options: LoginOptions = {}): Promise<Element> {
    if (options.tls === 'direct') await this.stream.secure(this.endpoint.domain, ['xmpp-client']);
    await this.openStream(options.header);
    if (options.tls === 'starttls') {
      await this.startTls();
      await this.openStream(options.header);
    }
    return this.requireFeatures();
  }

  /** Sends a header and waits for the answer's header and features. */
  async openStream(extra = '', deadlineMs = DEADLINE_MS): Promise<Element> {
    this.stream.expectHeader();
    this.send(
      `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='${NS.streams}' to='${this.endpoint.domain}' version='1.0' ${extra}>`,
    );
    const answer = await this.stream.expect(
      'stream features',
      (element) => element.is('features', NS.streams) || element.is('error', NS.streams),
      deadlineMs,
    );
    if (answer.is('error')) throw new StreamEnded(conditionOf(answer));
    this.features = answer;
    return answer;
  }

  requireFeatures(): Element {
    if (!this.features) throw new Error('no stream features yet');
    return this.features;
  }

  get mechanisms(): string[] {
    const list = this.features?.getChild('mechanisms', NS.sasl);
    return (list?.getChildren('mechanism') ?? []).map((mechanism) => mechanism.getText());
  }

  async startTls(): Promise<void> {
    this.send(`<starttls xmlns='${NS.tls}'/>`);
    await this.expect('proceed', (element) => element.is('proceed', NS.tls));
    await this.stream.secure(this.endpoint.domain);
  }

  /** In-band registration, before authentication. */
  async register(account: Account): Promise<Element> {
    return this.iq(
      'set',
      `<query xmlns='${NS.register}'><username>${account.name}</username><password>${account.password}</password></query>`,
      `to='${account.domain}'`,
    );
  }

  async authenticate(
    account: Account,
    wanted?: Mechanism,
    header?: string,
    flag?: BindingFlag,
  ): Promise<void> {
    noteConfidential(account.password);
    const preference: Mechanism[] = ['SCRAM-SHA-1', 'PLAIN', 'DIGEST-MD5'];
    const mechanism = wanted ?? preference.find((name) => this.mechanisms.includes(name));
    if (!mechanism) throw new Error(`no usable mechanism in ${this.mechanisms.join(' ')}`);
    const run = startSasl(mechanism, account.name, account.password, account.domain, flag);
    const base64 = (text: string) => Buffer.from(text).toString('base64') || '=';
    const initial = run.initial === undefined ? '' : base64(run.initial);
    this.send(`<auth xmlns='${NS.sasl}' mechanism='${mechanism}'>${initial}</auth>`);
    for (;;) {
      const step = await this.expect(
        'the next step of authentication',
        (element) => element.attrs.xmlns === NS.sasl || element.is('error', NS.streams),
        20_000,
      );
      const said = Buffer.from(step.getText(), 'base64').toString();
      if (step.is('error')) throw new StreamEnded(conditionOf(step));
      if (step.name === 'failure') throw new LoginRefused(step.getChildElements()[0]?.name ?? 'none');
      if (step.name === 'success') {
        if (said) run.verify(said);
        break;
      }
      const answer = run.answer(said);
      this.send(`<response xmlns='${NS.sasl}'>${answer ? base64(answer) : ''}</response>`);
    }
    await this.openStream(header);
  }

  async bind(resource?: string): Promise<string> {
    const wish = resource ? `<resource>${escapeXML(resource)}</resource>` : '';
    const answer = await this.iq('set', `<bind xmlns='${NS.bind}'>${wish}</bind>`);
    const jid = answer.getChild('bind', NS.bind)?.getChildText('jid');
    if (answer.attrs.type !== 'result' || !jid) throw new Error(`binding failed: ${answer}`);
    this.jid = jid;
    // A server of RFC 3921 wants this too; later ones mark it optional.
    const session = this.features?.getChild('session', NS.session);
    if (session && !session.getChild('optional')) await this.iq('set', `<session xmlns='${NS.session}'/>`);
    return jid;
  }

  get offersSm(): boolean {
    return this.features?.getChild('sm', NS.sm) !== undefined;
  }

  async enableSm(attributes = ''): Promise<Element> {
    this.send(`<enable xmlns='${NS.sm}' ${attributes}/>`);
    const answer = await this.expect('enabled', (element) => element.is('enabled', NS.sm));
    noteConfidential(String(answer.attrs.id ?? ''));
    this.sm = { received: 0, sent: 0, acknowledged: 0, answersRequests: true };
    return answer;
  }

  /** Asks for an acknowledgement until everything sent so far is covered. */
  async acknowledged(deadlineMs = DEADLINE_MS): Promise<void> {
    const sm = this.sm;
    if (!sm) throw new Error('stream management is not on');
    const sent = sm.sent;
    this.send(`<r xmlns='${NS.sm}'/>`);
    await this.stream.when(`acknowledgement of ${sent}`, () => sm.acknowledged >= sent, deadlineMs);
  }

  /** Sends as it is. Counts the stanzas in it only as far as `stanzas` says. */
  send(
    xml: string | Buffer,
    stanzas = typeof xml === 'string' && /^<(message|presence|iq)\b/.test(xml) ? 1 : 0,
  ) {
    if (this.sm) this.sm.sent += stanzas;
    notePayloads(String(xml));
    this.stream.write(xml);
  }

  expect(what: string, predicate: Predicate, deadlineMs?: number): Promise<Element> {
    return this.stream.expect(what, predicate, deadlineMs);
  }

  /** Sends an iq with a fresh id and waits for its answer, result or error. */
  async iq(type: 'get' | 'set', payload: string, attributes = '', deadlineMs?: number): Promise<Element> {
    const id = uniqueId();
    this.send(`<iq type='${type}' id='${id}' ${attributes}>${payload}</iq>`);
    return this.expect(
      `an answer to ${payload.slice(0, 80)}`,
      (element) => element.is('iq') && element.attrs.id === id && /^(result|error)$/.test(element.attrs.type),
      deadlineMs,
    );
  }

  message(predicate: Predicate = () => true, what = 'a message', deadlineMs?: number): Promise<Element> {
    return this.expect(what, (element) => element.is('message') && predicate(element), deadlineMs);
  }

  /** The message with this body. */
  body(text: string, deadlineMs?: number): Promise<Element> {
    return this.message((element) => element.getChildText('body') === text, `message "${text}"`, deadlineMs);
  }

  presence(predicate: Predicate = () => true, what = 'a presence', deadlineMs?: number): Promise<Element> {
    return this.expect(what, (element) => element.is('presence') && predicate(element), deadlineMs);
  }

  /** A round trip through the server; whatever it had sent before has arrived when it is over. */
  async settle(): Promise<void> {
    await this.iq(
      'get',
      "<query xmlns='http://jabber.org/protocol/disco#info'/>",
      `to='${this.endpoint.domain}'`,
    );
  }

  /** Sends initial presence; when this is over, the server has seen it and what it caused has arrived. */
  async becomeAvailable(presence = '<presence/>'): Promise<void> {
    this.send(presence);
    await this.settle();
  }

  get bareJid(): string {
    return this.jid.split('/')[0] ?? '';
  }

  /** The error that ends the stream, as its condition. */
  async streamError(deadlineMs = DEADLINE_MS): Promise<string> {
    const element = await this.expect('a stream error', (each) => each.is('error', NS.streams), deadlineMs);
    return conditionOf(element);
  }

  /** Says goodbye and waits until the other side has done so too and the connection is gone. */
  async close(deadlineMs = DEADLINE_MS): Promise<void> {
    if (this.stream.closed) return;
    this.send('</stream:stream>');
    await this.stream.when(
      'the end of the stream',
      () => this.stream.ended || this.stream.closed,
      deadlineMs,
    );
    this.stream.halfClose();
    await this.stream.when('the end of the connection', () => this.stream.closed, deadlineMs);
  }

  #count(element: Element): void {
    const sm = this.sm;
    if (!sm) return;
    if (element.is('r', NS.sm)) {
      if (sm.answersRequests) this.stream.write(`<a xmlns='${NS.sm}' h='${sm.received}'/>`);
    } else if (element.is('a', NS.sm)) {
      sm.acknowledged = Number(element.attrs.h);
      this.onAcknowledged?.(sm.acknowledged);
    } else if (['message', 'presence', 'iq'].includes(element.name)) {
      sm.received += 1;
    }
  }
}

/** The defined condition in a stream or stanza error; jabberd2 still uses an old name for one. */
export function conditionOf(error: Element): string {
  const condition = error
    .getChildElements()
    .find((child) => child.name !== 'text' && [NS.streamErrors, NS.stanzas].includes(child.attrs.xmlns));
  return condition?.name.replace(/^xml-not-well-formed$/, 'not-well-formed') ?? 'none';
}

/** The condition of a stanza of type error, and its error type. */
export function stanzaError(stanza: Element): string {
  const error = stanza.getChild('error');
  return error ? conditionOf(error) : 'none';
}

export function uniqueId(): string {
  return randomBytes(6).toString('hex');
}
