import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { mechanismsOf } from '../../stream/assessment.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import { InitiatingStream } from '../initiating-stream.js';
import { signIn } from '../sign-in.js';
import type { Account } from './actor.js';
import type { Traffic } from './traffic.js';

const STEP_MS = 8_000;
const GUESTS = 24;

/** Where a room is entered again and again, and what is measured. */
export interface RejoinStage {
  readonly domain: string;
  readonly accounts: { readonly romeo: Account; readonly juliet: Account };
  readonly serverPort: number;
  /** Where the proxy in front of the server listens: the core. */
  readonly corePort: number;
  /** Brings up another proxy, in front of the core. @returns its port, and what goes over the link between the two */
  startEdge(): Promise<{ readonly port: number; readonly thin: Traffic }>;
}

/** Bytes that one way of coming back has cost. */
export interface RejoinCosts {
  readonly guests: number;
  /** A plain join, as any client makes it. */
  readonly plain: number;
  /** The client speaks XEP-0311. */
  readonly resumed: number;
  /** A legacy client behind an edge: what it got from the room, and what of the room came over the link between edge and core. */
  readonly legacy: { readonly client: number; readonly thin: number };
}

/**
 * A client loses its connection, somebody in the room changes and somebody says something, and it enters again: without the protocol, with
 * it, and as a legacy client behind an edge and a core.
 * @throws StreamProblem, SignInRefused
 */
export async function playRejoins(stage: RejoinStage): Promise<RejoinCosts> {
  const { domain, accounts, serverPort, corePort } = stage;
  const room = `hall@rooms.${domain}`;
  const guests: Visitor[] = [];
  try {
    for (let n = 0; n < GUESTS; n++) {
      const guest = await Visitor.connect(accounts.romeo, domain, serverPort, `guest-${n}`, false);
      guests.push(guest);
      await guest.enter(room, `Guest ${n}`);
    }
    let lives = 0;
    /** Meanwhile something happens. */
    const lifeGoesOn = async (): Promise<string> => {
      lives += 1;
      const [speaker, mover] = [guests[0]!, guests[lives]!];
      mover.send(`<presence to='${room}/Guest ${lives}'><show>away</show>${CAPS}</presence>`);
      const body = `The news, number ${lives}`;
      speaker.send(`<message to='${room}' type='groupchat' id='n${lives}'><body>${body}</body></message>`);
      await speaker.expect(body, (element) => element.getChildText('body') === body);
      return body;
    };
    const visit = async (port: number, ask: string, news?: string): Promise<Visitor> => {
      const visitor = await Visitor.connect(accounts.juliet, domain, port, 'phone');
      await visitor.enter(room, 'Juliet', ask, news);
      return visitor;
    };

    const before = await visit(corePort, `<presence-session xmlns='${NS.presenceSession}'/>`);
    before.cut();
    const plain = await visit(corePort, '', await lifeGoesOn());
    plain.cut();
    const resume = `<presence-session xmlns='${NS.presenceSession}' type='resume' session='${escapeAttribute(before.mark.session)}' id='${escapeAttribute(before.mark.id)}'/>`;
    const resumed = await visit(corePort, resume, 'The news, number 1');
    resumed.cut();

    const edge = await stage.startEdge();
    edge.thin.onPassage = () => {};
    const first = await visit(edge.port, '');
    first.cut();
    const news = await lifeGoesOn();
    const again = await Visitor.connect(accounts.juliet, domain, edge.port, 'phone');
    let thin = 0;
    // What the edge asks the server for itself has a time of its own, and is no part of coming back.
    edge.thin.onPassage = ({ direction, element, xml }) => {
      if (direction === 'to-client' && isOfRoom(element, room)) thin += Buffer.byteLength(xml);
    };
    await again.enter(room, 'Juliet', '', news);
    again.cut();
    return {
      guests: GUESTS,
      plain: plain.bytes,
      resumed: resumed.bytes,
      legacy: { client: again.bytes, thin },
    };
  } finally {
    for (const guest of guests) guest.cut();
  }
}

const CAPS = `<c xmlns='${NS.caps}' hash='sha-1' node='https://client.example' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'><photo>8f7e6d5c4b3a29181706f5e4d3c2b1a09f8e7d6c</photo></x>`;

/** A presence or message from a room or somebody in it. */
function isOfRoom(element: Element | undefined, room: string): boolean {
  if (element === undefined || element.getName() === 'iq') return false;
  return String(element.attrs.from ?? '').split('/')[0] === room;
}

/** A client that enters one room and counts what it is sent from there. */
class Visitor {
  /** From the room, since it was entered. */
  bytes = 0;
  mark = { session: '', id: '' };
  #ids = 0;

  private constructor(private readonly stream: InitiatingStream) {}

  static async connect(
    { name, password }: Account,
    domain: string,
    port: number,
    resource: string,
    isSecured = true,
  ): Promise<Visitor> {
    const stream = await InitiatingStream.connect('127.0.0.1', port, STEP_MS);
    const visitor = new Visitor(stream);
    const open = async (): Promise<Element> => {
      await stream.open({ to: domain, lang: 'en' });
      return visitor.expect('stream features', (element) => element.getName() === 'features');
    };
    let features = await open();
    if (isSecured) {
      stream.send(`<starttls xmlns='${NS.tls}'/>`);
      await visitor.expect('<proceed/>', (element) => element.getName() === 'proceed');
      await stream.startTls({ servername: domain, rejectUnauthorized: false });
      features = await open();
    }
    await signIn(stream, mechanismsOf(features), { local: name, password }, true);
    await open();
    await visitor.iq('set', `<bind xmlns='${NS.bind}'><resource>${resource}</resource></bind>`);
    visitor.send('<presence/>');
    return visitor;
  }

  /** @param news waits until it has been told this, too */
  async enter(room: string, nick: string, ask = '', news?: string): Promise<void> {
    // Whoever is between has to know what the room can.
    await this.iq('get', `<query xmlns='${NS.discoInfo}'/>`, ` to='${room}'`);
    this.stream.onElement = (element, xml) => this.#count(element, xml, room);
    this.send(`<presence to='${room}/${nick}'><x xmlns='${NS.muc}'/>${CAPS}${ask}</presence>`);
    const isOwn = (element: Element): boolean =>
      element.getName() === 'presence' && element.attrs.from === `${room}/${nick}`;
    await this.expect('the own presence', isOwn);
    if (news !== undefined) await this.expect(news, (element) => element.getChildText('body') === news);
    await this.expect('the subject', (element) => element.getChild('subject') !== undefined);
  }

  send(xml: string): void {
    this.stream.send(xml);
  }

  expect(what: string, wanted: (element: Element) => boolean): Promise<Element> {
    return this.stream.expect(what, wanted);
  }

  async iq(type: 'get' | 'set', payload: string, to = ''): Promise<Element> {
    const id = `v${++this.#ids}`;
    this.send(`<iq type='${type}' id='${id}'${to}>${payload}</iq>`);
    return this.expect(`an answer to ${id}`, ({ name, attrs }) => name === 'iq' && attrs.id === id);
  }

  cut(): void {
    this.stream.cut();
  }

  #count(element: Element, xml: string, room: string): void {
    if (!isOfRoom(element, room)) return;
    this.bytes += Buffer.byteLength(xml);
    const { session, id } = (element.getChild('presence-session', NS.presenceSession)?.attrs ?? {}) as {
      session?: string;
      id?: string;
    };
    if (session !== undefined && id !== undefined) this.mark = { session, id };
  }
}
