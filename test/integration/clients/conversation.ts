import { type ChildProcess, spawn } from 'node:child_process';
import type { Element } from 'ltx';
import { until, within } from '../waiting.js';
import type { Account, Endpoint } from './raw.js';
import { RawClient, uniqueId } from './raw.js';

/**
 * What every client of the matrix does: it logs in, becomes available, fetches its
 * roster, says "a word for you" to a peer, who answers "a word back", goes into a
 * room, says "a word for all", hears "a word for one" there, and ends. It writes a
 * line for each step that it has taken.
 */
export const WHOLE_CONVERSATION = [
  'online',
  'contact friend@example.org',
  'answered',
  'joined',
  'heard in the room',
  'ended',
];

/** What the programs are told. */
export interface Part {
  host: string;
  port: number;
  tls: 'starttls' | 'direct';
  account: Account;
  /** Full JIDs of the client and of whom it talks to, and the room with the nickname to have there. */
  jid: string;
  peer: string;
  room: string;
  nick: string;
}

export interface Command {
  file: string;
  args: string[];
  /** For its standard input. */
  input?: string;
}

const MUC = 'http://jabber.org/protocol/muc';
const PATIENCE_MS = 15_000;

/** The other one in every conversation, who is online and in a room before it begins. */
export class Peer {
  private constructor(private readonly client: RawClient) {}

  static async arrive(endpoint: Endpoint, account: Account): Promise<Peer> {
    const peer = new Peer(await RawClient.login(endpoint, account, { resource: 'peer' }));
    await peer.client.becomeAvailable();
    return peer;
  }

  /** Makes a room, so that nothing is heard there of an earlier conversation. */
  async opensRoom(muc: string): Promise<string> {
    const room = `matrix-${uniqueId()}@${muc}`;
    this.client.send(`<presence to='${room}/peer'><x xmlns='${MUC}'/></presence>`);
    await this.client.presence(
      (presence) => presence.attrs.from === `${room}/peer`,
      'own presence in the room',
    );
    // mu-conference and Prosody hold a new room back until its maker has configured it.
    const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
    await this.client.iq('set', form, `to='${room}'`);
    return room;
  }

  get jid(): string {
    return this.client.jid;
  }

  leave(): void {
    this.client.stream.cut();
  }

  /** Hears the client and answers: to its bare JID, which reaches it only when it is available. */
  async answers(part: Part): Promise<void> {
    await this.hears(part);
    this.#say(part.account.jid, 'chat', 'a word back');
    await this.hearsInTheRoom(part);
    this.#say(part.room, 'groupchat', 'a word for one');
    await this.client.presence(
      (presence) =>
        presence.attrs.from === `${part.room}/${part.nick}` && presence.attrs.type === 'unavailable',
      `${part.nick} to leave the room`,
      PATIENCE_MS,
    );
  }

  async hears(part: Part): Promise<Element> {
    return this.client.message(
      (message) =>
        message.getChildText('body')?.trim() === 'a word for you' &&
        message.attrs.from?.startsWith(part.account.jid),
      'a word from the client',
      PATIENCE_MS,
    );
  }

  async hearsInTheRoom(part: Part): Promise<Element> {
    return this.client.message(
      (message) =>
        message.getChildText('body')?.trim() === 'a word for all' &&
        message.attrs.from === `${part.room}/${part.nick}`,
      'a word from the client in the room',
      PATIENCE_MS,
    );
  }

  #say(to: string, type: string, body: string): void {
    this.client.send(`<message to='${to}' type='${type}' id='${uniqueId()}'><body>${body}</body></message>`);
  }
}

/** A client program that is run to its end. */
export class Program {
  lines: string[] = [];
  output = '';
  exit: number | undefined;
  readonly #child: ChildProcess;

  constructor({ file, args, input }: Command) {
    this.#child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let said = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      this.output += text;
      this.lines = said.split('\n').slice(0, -1);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
    });
    this.#child.once('error', (error) => {
      this.output += error.message;
      this.exit = -1;
    });
    this.#child.once('close', (code) => {
      this.exit = code ?? -1;
    });
    this.#child.stdin?.on('error', () => {});
    this.#child.stdin?.end(input);
  }

  /** Until it ends by itself; what it wrote is in the failure if `others` are left waiting. */
  async finish(others: Promise<unknown>): Promise<void> {
    const ended = until('the program to end', () => this.exit !== undefined, PATIENCE_MS);
    const abandoned = ended.then(() => within('the rest of the conversation', 2_000, others));
    try {
      await Promise.all([Promise.race([others, abandoned]), ended]);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n${this.output}`);
    } finally {
      abandoned.catch(() => {});
      others.catch(() => {});
      this.#child.kill('SIGKILL');
    }
  }
}
