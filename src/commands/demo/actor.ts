import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { mechanismsOf } from '../../stream/assessment.js';
import { NS } from '../../xml/namespaces.js';
import { escapeText } from '../../xml/serialize.js';
import { parseElement } from '../../xml/tree.js';
import { InitiatingStream } from '../initiating-stream.js';
import { signIn } from '../sign-in.js';
import type { Passage, Traffic } from './traffic.js';

const STEP_MS = 8_000;

export interface Account {
  readonly name: string;
  readonly password: string;
}

/** A scripted client: speaks to the proxy like any other, and notes what it sends and receives. */
export class Actor {
  jid = '';
  #mechanisms: readonly string[] = [];
  #stanzas = 0;
  #counting = false;
  #ids = 0;

  private constructor(
    readonly account: Account,
    readonly domain: string,
    private readonly stream: InitiatingStream,
    private readonly traffic: Traffic,
  ) {
    stream.onOpened = () => this.#note('header', 'to-client', '');
    stream.onSend = (xml) => this.#sent(xml);
    stream.onElement = (element, xml) => this.#received(element, xml);
  }

  static async connect(account: Account, domain: string, port: number, traffic: Traffic): Promise<Actor> {
    const stream = await InitiatingStream.connect('127.0.0.1', port, STEP_MS);
    return new Actor(account, domain, stream, traffic);
  }

  /** Opens the stream and goes over to TLS. The certificate is one that the proxy has just made for itself. */
  async secure(): Promise<void> {
    await this.#openStream();
    this.stream.send(`<starttls xmlns='${NS.tls}'/>`);
    await this.stream.expect('<proceed/>', (element) => element.getName() === 'proceed');
    await this.stream.startTls({ servername: this.domain, rejectUnauthorized: false });
    this.#mechanisms = mechanismsOf(await this.#openStream());
  }

  async logIn(): Promise<void> {
    const { name, password } = this.account;
    await signIn(this.stream, this.#mechanisms, { local: name, password }, true);
    await this.#openStream();
    const answer = await this.iq('set', `<bind xmlns='${NS.bind}'><resource>balcony</resource></bind>`);
    this.jid = answer.getChild('bind', NS.bind)?.getChildText('jid') ?? '';
  }

  async enableStreamManagement(): Promise<void> {
    this.send(`<enable xmlns='${NS.sm3}'/>`);
    await this.expect('<enabled/>', (element) => element.getName() === 'enabled');
    this.#counting = true;
  }

  /** Asks what has arrived, until something has been told. */
  async askForAcknowledgement(): Promise<void> {
    this.send(`<r xmlns='${NS.sm3}'/>`);
    await this.expect('<a/>', (element) => element.getName() === 'a');
  }

  send(xml: string): void {
    this.stream.send(xml);
  }

  say(to: string, type: 'chat' | 'groupchat', body: string): void {
    this.#ids += 1;
    const id = `${this.account.name}-${this.#ids}`;
    this.send(`<message to='${to}' type='${type}' id='${id}'><body>${escapeText(body)}</body></message>`);
  }

  hears(body: string): Promise<Element> {
    return this.expect(`“${body}”`, (element) => element.getChildText('body') === body);
  }

  expect(what: string, wanted: (element: Element) => boolean): Promise<Element> {
    return this.stream.expect(what, wanted);
  }

  async iq(type: 'get' | 'set', payload: string): Promise<Element> {
    this.#ids += 1;
    const id = `${this.account.name}-${this.#ids}`;
    this.send(`<iq type='${type}' id='${id}'>${payload}</iq>`);
    return this.expect(
      `an answer to ${id}`,
      (element) => element.getName() === 'iq' && element.attrs.id === id,
    );
  }

  async leave(): Promise<void> {
    await this.stream.close();
  }

  cut(): void {
    this.stream.cut();
  }

  async #openStream(): Promise<Element> {
    await this.stream.open({ to: this.domain, lang: 'en' });
    return this.expect('stream features', (element) => element.getName() === 'features');
  }

  #sent(xml: string): void {
    const isHeader = xml.startsWith('<?xml');
    const isEnd = xml === '</stream:stream>';
    this.#note(isHeader ? 'header' : isEnd ? 'end' : 'element', 'to-server', xml);
  }

  #received(element: Element, xml: string): void {
    this.#note('element', 'to-client', xml, element);
    const namespace = element.getNS();
    if (namespace === NS.sm3 && element.getName() === 'r' && this.#counting) {
      this.send(`<a xmlns='${NS.sm3}' h='${this.#stanzas}'/>`);
    } else if (this.#counting && namespace === NS.client) this.#stanzas += 1;
  }

  #note(kind: Passage['kind'], direction: Passage['direction'], xml: string, element?: Element): void {
    const { name: who } = this.account;
    const read = element ?? (kind === 'element' ? parseElement(Buffer.from(xml)) : undefined);
    this.traffic.record({ who, leg: 'client', direction, kind, xml, element: read });
  }
}
