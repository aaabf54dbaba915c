import type { Element } from 'ltx';
import { type Account, conditionOf, RawClient, uniqueId } from '../clients/raw.js';
import { RunningProxy } from '../proxy.js';
import { newAccount } from '../routes.js';
import type { RealServer } from '../servers/server.js';
import { ASK, enter, MUC, RoomModel, resume } from './room.js';

/** What happens in a room while she is there, or is not. */
type HappensToSomebody =
  | { readonly kind: 'shows'; readonly who: number; readonly show: string }
  | { readonly kind: 'renames' | 'leaves' | 'kicked' | 'banned' | 'says'; readonly who: number }
  | { readonly kind: 'role'; readonly who: number; readonly role: string }
  | { readonly kind: 'affiliation'; readonly who: number; readonly affiliation: string };

export type HappensInRoom =
  | HappensToSomebody
  | { readonly kind: 'herRole'; readonly role: string }
  | { readonly kind: 'herSaying' }
  | { readonly kind: 'herKick' };

export type Going = 'cut' | 'leaves' | 'stopped' | 'killed';

const HER = 'Juliet';

/** Somebody in the room who is at the server itself. */
interface Person {
  readonly client: RawClient;
  readonly account: Account;
  nick: string;
  isIn: boolean;
}

/** A room on a real server, its owner and people, and a client with XEP-0311 that comes and goes through a proxy which comes and goes too. */
export class FastReconnectPlay {
  readonly #model: RoomModel;
  /** What the owner, who never leaves, is told by the server. */
  readonly #real: RoomModel;
  #proxy: RunningProxy | undefined;
  #client: RawClient | undefined;
  #isIn = false;
  #said: string[] = [];
  #count = 0;
  #resetsSeen = 0;
  #truncatedSeen = 0;
  /** How often she was told a difference. */
  resumed = 0;

  private constructor(
    private readonly server: RealServer,
    private readonly data: string,
    private readonly room: string,
    private readonly owner: RawClient,
    private readonly people: readonly Person[],
    private readonly account: Account,
    real: RoomModel,
  ) {
    this.#real = real;
    this.#model = new RoomModel(room);
  }

  static async in(server: RealServer, data: string): Promise<FastReconnectPlay> {
    const room = `room-${uniqueId()}@${server.muc}`;
    const enters = async (nick: string, model?: RoomModel): Promise<Person> => {
      const account = await newAccount(server, nick.toLowerCase());
      const client = await RawClient.login(server, account);
      model?.listenTo(client);
      await client.becomeAvailable();
      await enter(client, room, nick);
      return { client, account, nick, isIn: true };
    };
    const real = new RoomModel(room, false);
    const { client: owner } = await enters('Owner', real);
    // Of its default configuration, and unlocked.
    const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
    await owner.iq('set', form, `to='${room}'`);
    const people: Person[] = [];
    for (const nick of ['Romeo', 'Tybalt', 'Nurse']) people.push(await enters(nick));
    const account = await newAccount(server, 'juliet');
    const play = new FastReconnectPlay(server, data, room, owner, people, account, real);
    await play.comesBack();
    return play;
  }

  get hers(): Record<string, string> {
    return Object.fromEntries([...this.#model.occupants].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  get truth(): Record<string, string> {
    return Object.fromEntries([...this.#real.occupants].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  get unmarked(): number {
    return this.#model.unmarked;
  }

  /** What people said since she came first, or was told of a gap. */
  get said(): readonly string[] {
    return this.#said;
  }

  get heard(): readonly string[] {
    return this.#model.bodies.filter((body) => body.startsWith('said '));
  }

  async happens(event: HappensInRoom): Promise<void> {
    if (event.kind === 'herRole') await this.#setsHer(`role='${event.role}'`, event.role);
    else if (event.kind === 'herKick') await this.#kicksHer();
    else if (event.kind !== 'herSaying') await this.#somebody(event);
    else if (this.#isIn) await this.#says(this.#client!);
  }

  async #somebody(event: HappensToSomebody): Promise<void> {
    const person = this.people[event.who]!;
    if (!person.isIn) await this.#letIn(person);
    switch (event.kind) {
      case 'shows': {
        const { client, nick } = person;
        client.send(`<presence to='${this.room}/${nick}'><show>${event.show}</show></presence>`);
        await this.#sees(nick, (each) => each.getChildText('show') === event.show);
        break;
      }
      case 'renames': {
        const to = `${person.nick.split(' ')[0]} ${++this.#count}`;
        person.client.send(`<presence to='${this.room}/${to}'/>`);
        await this.#sees(to, () => true);
        person.nick = to;
        break;
      }
      case 'leaves':
        person.client.send(`<presence to='${this.room}/${person.nick}' type='unavailable'/>`);
        await this.#seesGone(person.nick);
        person.isIn = false;
        break;
      case 'kicked':
        await this.#sets(`nick='${person.nick}' role='none'`);
        await this.#seesGone(person.nick);
        person.isIn = false;
        break;
      case 'banned':
        await this.#sets(`jid='${person.account.jid}' affiliation='outcast'`);
        await this.#seesGone(person.nick);
        person.isIn = false;
        break;
      case 'says':
        // A visitor is not heard in a moderated room, and this one is none on all servers.
        await this.#says(person.client);
        break;
      case 'role':
        await this.#tries(`nick='${person.nick}' role='${event.role}'`);
        break;
      case 'affiliation':
        await this.#tries(`jid='${person.account.jid}' affiliation='${event.affiliation}'`);
        break;
    }
  }

  /** @param lost stanzas of the last that were sent to her do not reach her */
  async goes(how: Going, lost: number): Promise<void> {
    const client = this.#client!;
    const wasIn = this.#isIn;
    this.#isIn = false;
    this.#client = undefined;
    if (how === 'leaves' && wasIn) {
      client.send(`<presence to='${this.room}/${HER}' type='unavailable'/>`);
      await client.presence(
        (each) => each.attrs.from === `${this.room}/${HER}` && each.attrs.type === 'unavailable',
        'her own leaving',
      );
      await client.close();
    } else {
      if (how === 'stopped') await this.#proxy!.stop();
      if (how === 'killed') await this.#proxy!.kill();
      client.stream.cut();
      this.#model.loses(lost);
    }
    if (how === 'stopped' || how === 'killed') this.#proxy = undefined;
    // A server with stream management lets the session of a proxy that was killed wait in the room.
    if (wasIn && (how !== 'killed' || !this.server.has.sm)) await this.#seesGone(HER);
  }

  async comesBack(): Promise<void> {
    if (this.#client !== undefined) throw new Error('she is there');
    this.#proxy ??= await RunningProxy.inFrontOf(this.server, { data: this.data });
    const { host, port } = this.#proxy.address(0);
    const { domain } = this.server;
    const client = await RawClient.login({ host, port, domain }, this.account);
    this.#model.listenTo(client);
    await client.becomeAvailable();
    const { last, resets } = this.#model;
    const isFirst = last === undefined;
    if (isFirst) this.#model.occupants.clear();
    await enter(client, this.room, HER, isFirst ? ASK : resume(last), "<history maxstanzas='100'/>");
    // Behind the join, by way of the room and the owner.
    await this.#echo(client);
    this.#client = client;
    this.#isIn = true;
    if (this.#model.resets === resets && !isFirst) this.resumed += 1;
    if (isFirst || this.#model.resets > this.#resetsSeen || this.#model.truncated > this.#truncatedSeen) {
      // What was said before may be missing.
      this.#said = [...this.heard];
    }
    this.#resetsSeen = this.#model.resets;
    this.#truncatedSeen = this.#model.truncated;
  }

  async ends(): Promise<void> {
    this.#client?.stream.cut();
    this.owner.stream.cut();
    for (const { client } of this.people) client.stream.cut();
    await this.#proxy?.dispose();
  }

  /** What the room has sent to her before is there when she hears herself. */
  async #echo(client: RawClient): Promise<void> {
    const body = `echo ${uniqueId()}`;
    client.send(
      `<message to='${this.room}' type='groupchat' id='${uniqueId()}'><body>${body}</body></message>`,
    );
    await client.body(body, 20_000);
  }

  async #says(person: RawClient): Promise<void> {
    const body = `said ${++this.#count} ${uniqueId()}`;
    const id = uniqueId();
    person.send(`<message to='${this.room}' type='groupchat' id='${id}'><body>${body}</body></message>`);
    const heard = await person.message(
      (each) => each.getChildText('body') === body || (each.attrs.type === 'error' && each.attrs.id === id),
      `"${body}" or its refusal`,
    );
    if (heard.attrs.type === 'error') return;
    await this.owner.body(body, 20_000);
    this.#said.push(body);
    if (this.#isIn && person !== this.#client) await this.#client!.body(body, 20_000);
  }

  async #letIn(person: Person): Promise<void> {
    // Nothing but a ban needs it, and it harms nobody.
    await this.#sets(`jid='${person.account.jid}' affiliation='none'`);
    await enter(person.client, this.room, person.nick);
    person.isIn = true;
    await this.#sees(person.nick, () => true);
  }

  async #kicksHer(): Promise<void> {
    if (!this.#isIn) return;
    await this.#sets(`nick='${HER}' role='none'`);
    await this.#seesGone(HER);
    await this.#client!.presence(
      (each) => each.attrs.from === `${this.room}/${HER}` && each.attrs.type === 'unavailable',
      'her being kicked',
    );
    this.#isIn = false;
  }

  async #setsHer(item: string, role: string): Promise<void> {
    if (!this.#isIn || !(await this.#tries(`nick='${HER}' ${item}`))) return;
    const isRole = (each: Element) =>
      each.attrs.from === `${this.room}/${HER}` && each.toString().includes(`role="${role}"`);
    await this.#client!.presence(isRole, `her being a ${role}`);
  }

  /** What the owner wants of somebody, which is done when she has seen what came of it. */
  async #sets(item: string): Promise<void> {
    const answer = await this.#admin(item);
    if (answer.attrs.type !== 'result') throw new Error(`the owner may not: ${answer}`);
  }

  /** The same where servers differ in whether they let it pass. */
  async #tries(item: string): Promise<boolean> {
    const answer = await this.#admin(item);
    if (answer.attrs.type === 'result') {
      await this.#echo(this.owner);
      return true;
    }
    if (conditionOf(answer.getChild('error')!) === 'none') throw new Error(`no reason: ${answer}`);
    return false;
  }

  #admin(item: string): Promise<Element> {
    return this.owner.iq(
      'set',
      `<query xmlns='${MUC}#admin'><item ${item}/></query>`,
      `to='${this.room}'`,
      20_000,
    );
  }

  async #sees(nick: string, so: (presence: Element) => boolean): Promise<void> {
    await this.#presenceOf(nick, (each) => each.attrs.type === undefined && so(each), `${nick} as said`);
  }

  async #seesGone(nick: string): Promise<void> {
    if (!this.#real.occupants.has(nick)) return;
    await this.#presenceOf(nick, (each) => each.attrs.type === 'unavailable', `${nick} to be gone`);
  }

  async #presenceOf(nick: string, so: (presence: Element) => boolean, what: string): Promise<void> {
    const isIt = (each: Element) => each.attrs.from === `${this.room}/${nick}` && so(each);
    await this.owner.presence(isIt, what, 20_000);
  }
}
