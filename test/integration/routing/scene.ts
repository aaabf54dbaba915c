import type { Element } from 'ltx';
import { type RawClient, uniqueId } from '../clients/raw.js';
import { logIn, newAccount, type Route } from '../routes.js';

/*
 * The scene of the routing table: one who writes, and an account with four sessions that differ in priority. Everything is said at once, each
 * thing with an id of its own; it is over when pings that were sent behind it have gone the same ways.
 */

const CARBONS = 'urn:xmpp:carbons:2';
const FORWARD = 'urn:xmpp:forward:0';
export const MARK = 'urn:xmpp:xmpp-2:0';

/** Resources of the reader and their priorities; two are equal at the top, one is below, one wants nothing. */
export const RESOURCES = { a: 5, b: 5, c: 0, n: -1 } as const;
export type ResourceName = keyof typeof RESOURCES;

/** Who has carbons on. */
export const MIXTURES = { nobody: '', some: 'bc', everybody: 'abcn' } as const;
export type Mixture = keyof typeof MIXTURES;

export const KINDS = {
  chat: ['chat', '<body>hi</body>'],
  normal: ['normal', '<body>hi</body>'],
  headline: ['headline', '<body>hi</body>'],
  'chat state': ['chat', "<composing xmlns='http://jabber.org/protocol/chatstates'/>"],
  receipt: ['chat', "<received xmlns='urn:xmpp:receipts' id='r'/>"],
  marker: ['chat', "<displayed xmlns='urn:xmpp:chat-markers:0' id='r'/>"],
  OMEMO: ['chat', "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>"],
  OTR: ['chat', '<body>?OTR:AAMC</body>'],
  'in-band bytes': ['normal', "<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>AA==</data>"],
  private: ['chat', `<body>hi</body><private xmlns='${CARBONS}'/><no-copy xmlns='urn:xmpp:hints'/>`],
} as const satisfies Record<string, readonly [type: string, content: string]>;
export type KindName = keyof typeof KINDS;

/** To the account, to a session at the top, to one below it, to one that wants nothing for the account, and to one that is not there. */
export const ADDRESSES = ['bare', 'a', 'c', 'n', 'gone'] as const;
export type AddressName = (typeof ADDRESSES)[number];

export class Scene {
  private constructor(
    readonly writer: RawClient,
    readonly readers: ReadonlyMap<ResourceName, RawClient>,
    readonly account: string,
    /** Copies are made by the readers' proxy, of what it cannot know whom it was for. */
    private readonly waitsForServer: boolean,
  ) {}

  /** @param writing the way on which the writer comes */
  static async open(route: Route, writing: Route, mixture: Mixture): Promise<Scene> {
    const { server } = route;
    const [writerAccount, readerAccount] = [
      await newAccount(server, 'writer'),
      await newAccount(server, 'reader'),
    ];
    const writer = await logIn(writing, writerAccount, { resource: 'w' });
    await writer.becomeAvailable();
    const readers = new Map<ResourceName, RawClient>();
    for (const [resource, priority] of Object.entries(RESOURCES) as [ResourceName, number][]) {
      const reader = await logIn(route, readerAccount, { resource });
      await reader.becomeAvailable(`<presence><priority>${priority}</priority></presence>`);
      // A server that has none says so, and then nothing is different.
      if (MIXTURES[mixture].includes(resource)) await reader.iq('set', `<enable xmlns='${CARBONS}'/>`);
      readers.set(resource, reader);
    }
    const isOutside = route.via === 'proxy' && writing.via === 'direct';
    return new Scene(writer, readers, readerAccount.jid, isOutside && !server.has.carbons);
  }

  /** Says everything to everybody. @returns by cell who got what; `×2` is what came twice */
  async play(): Promise<Record<string, string>> {
    const { writer, readers } = this;
    const cells = ADDRESSES.flatMap((address) =>
      Object.keys(KINDS).map((kind) => ({ address, kind: kind as KindName, id: uniqueId() })),
    );
    const address = (name: AddressName) => (name === 'bare' ? this.account : `${this.account}/${name}`);
    for (const cell of cells) {
      const [type, content] = KINDS[cell.kind];
      writer.send(
        `<message to='${address(cell.address)}' type='${type}' id='${cell.id}'>${content}</message>`,
      );
    }
    await this.#settle();
    if (this.waitsForServer) await this.#lastOfAll();
    const outcome: Record<string, string> = {};
    for (const { address: to, kind, id } of cells) {
      const got: string[] = [];
      for (const [resource, reader] of readers)
        got.push(...counted(take(reader, id).map((each) => resource + formOf(each))));
      const errors = take(writer, id).map(({ attrs }) =>
        attrs.type !== 'error' ? 'echo' : attrs.from === address(to) ? 'error' : `error from ${attrs.from}`,
      );
      outcome[`${to}: ${kind}`] = [...got, ...counted(errors)].join(' ') || '–';
    }
    return outcome;
  }

  /** What the server may still deliver itself is waited for by those that it delivers to first: this comes behind all of that. */
  async #lastOfAll(): Promise<void> {
    const id = uniqueId();
    this.writer.send(`<message to='${this.account}/n' type='chat' id='${id}'><body>the end</body></message>`);
    for (const resource of ['a', 'b', 'c'] as const)
      await this.readers.get(resource)?.message((each) => each.attrs.id === id, 'the last of all');
  }

  /** Behind everything, and once more for what sessions tell each other. */
  async #settle(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      for (const reader of this.readers.values()) {
        const id = uniqueId();
        this.writer.send(`<iq type='get' id='${id}' to='${reader.jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
        await reader.expect('the ping behind it', (each) => each.is('iq') && each.attrs.id === id);
        reader.send(`<iq type='result' id='${id}' to='${this.writer.jid}'/>`);
        await this.writer.expect('its answer', (each) => each.is('iq') && each.attrs.id === id);
      }
      await Promise.all([...this.readers.values()].map((reader) => reader.settle()));
      await this.writer.settle();
    }
  }
}

function counted(list: readonly string[]): string[] {
  return [...new Set(list)].map((one) => {
    const times = list.filter((each) => each === one).length;
    return times > 1 ? `${one}×${times}` : one;
  });
}

function inner(message: Element): Element | undefined {
  for (const direction of ['received', 'sent'])
    if (message.getChild(direction, CARBONS))
      return message.getChild(direction, CARBONS)?.getChild('forwarded', FORWARD)?.getChild('message');
  return undefined;
}

/** Takes the messages with this id, wrapped or not, out of what has come. */
function take(client: RawClient, id: string): Element[] {
  const { inbox } = client.stream;
  const isIt = (each: Element) =>
    each.is('message') && (each.attrs.id === id || inner(each)?.attrs.id === id);
  const found = inbox.filter(isIt);
  for (const each of found) inbox.splice(inbox.indexOf(each), 1);
  return found;
}

/** Nothing for a message as it is, `(copy)` for one by XEP-0280. */
function formOf(message: Element): string {
  return inner(message) === undefined ? '' : '(copy)';
}
