import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import type { IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { REFUSED, type Refusal } from './answers.js';
import { nickOf } from './nicks.js';
import type { OwnStanding } from './own-standing.js';
import type { Surroundings } from './surroundings.js';

/** What a room says about itself. */
export interface RoomInfo {
  readonly exists: boolean;
  readonly membersOnly: boolean;
  readonly hasPassword: boolean;
  readonly nonAnonymous: boolean;
  /** Nicks can be registered with it (XEP-0045 §7.10). */
  readonly registersNicks: boolean;
}

interface Listed {
  readonly account: string | undefined;
  readonly nick: string | undefined;
}

/** Conditions by which servers say that there is no such room; mu-conference has one of its own for it. */
const NO_ROOM: readonly string[] = ['item-not-found', 'bad-request', 'recipient-unavailable', 'gone'];

/** Asks a room, in the name of the session, what only the room can say: who may do what, and who is there. */
export class Moderation {
  constructor(
    private readonly around: Surroundings,
    /** Where a room does not tell all its moderators that they are. */
    private readonly standing: OwnStanding | undefined,
  ) {}

  /** @param done gets undefined when the room does not answer */
  roomInfo(room: string, done: (info: RoomInfo | undefined) => void): void {
    this.#ask(room, `<query xmlns='${NS.discoInfo}'/>`, (answer) => {
      if (answer.kind === 'error') done(NO_ROOM.includes(answer.condition) ? NOTHING : undefined);
      else if (answer.kind !== 'result') done(undefined);
      else {
        const features = answer.iq.getChild('query', NS.discoInfo)?.getChildren('feature') ?? [];
        const has = (name: string) => features.some(({ attrs }) => attrs.var === name);
        done({
          exists: true,
          membersOnly: has('muc_membersonly'),
          hasPassword: has('muc_passwordprotected') || has('muc_password'),
          nonAnonymous: has('muc_nonanonymous'),
          registersNicks: has(NS.register),
        });
      }
    });
  }

  /** Whether the session's account may act as a moderator, in the room or not: a room tells the list of its moderators to nobody else. */
  isModerator(room: string, done: (refusal: Refusal | undefined) => void): void {
    this.#list(room, "role='moderator'", (moderators) => {
      if (Array.isArray(moderators)) done(undefined);
      else if (moderators === undefined) done(REFUSED.noAnswer);
      else if (NO_ROOM.includes(moderators)) done(REFUSED.noRoom);
      else if (this.standing === undefined) done(REFUSED.notModerator);
      else this.standing.moderates(room, (moderates) => done(moderates ? undefined : REFUSED.notModerator));
    });
  }

  /** Whether somebody else may subscribe with a nick; the session's account moderates the room. */
  mayBeSubscribed(
    room: string,
    account: string,
    preparedNick: string,
    password: string | undefined,
    done: (refusal: Refusal | undefined) => void,
  ): void {
    this.roomInfo(room, (info) => {
      if (info === undefined) done(REFUSED.noAnswer);
      else if (info.hasPassword && password === undefined) done(REFUSED.password);
      else if (info.hasPassword)
        this.#secret(room, (secret) => {
          if (secret !== undefined && secret !== password) done(REFUSED.password);
          else this.#mayBeIn(room, account, preparedNick, info, done);
        });
      else this.#mayBeIn(room, account, preparedNick, info, done);
    });
  }

  #mayBeIn(
    room: string,
    account: string,
    preparedNick: string,
    { membersOnly }: RoomInfo,
    done: (refusal: Refusal | undefined) => void,
  ): void {
    this.#isIn(room, account, ['outcast'], (outcast) => {
      if (outcast) done(REFUSED.banned);
      else if (!membersOnly) this.#nickIsFree(room, account, preparedNick, done);
      else
        this.#isIn(room, account, ['member', 'admin', 'owner'], (member) => {
          if (member) this.#nickIsFree(room, account, preparedNick, done);
          else done(REFUSED.membersOnly);
        });
    });
  }

  /** The password of a room, which its owners see in its configuration. @param done gets undefined where this session does not */
  #secret(room: string, done: (secret: string | undefined) => void): void {
    this.#ask(room, `<query xmlns='${NS.mucOwner}'/>`, (answer) => {
      const form = answer.kind === 'result' ? answer.iq.getChild('query', NS.mucOwner) : undefined;
      const fields = form?.getChild('x', NS.dataForms)?.getChildren('field') ?? [];
      const secret = fields.find(({ attrs }) => attrs.var === 'muc#roomconfig_roomsecret');
      done(secret?.getChildText('value') ?? undefined);
    });
  }

  #isIn(room: string, account: string, affiliations: readonly string[], done: (is: boolean) => void): void {
    const [affiliation, ...rest] = affiliations;
    if (affiliation === undefined) {
      done(false);
      return;
    }
    this.#list(room, `affiliation='${affiliation}'`, (listed) => {
      if (Array.isArray(listed) && listed.some((each) => each.account === account)) done(true);
      else this.#isIn(room, account, rest, done);
    });
  }

  #nickIsFree(
    room: string,
    account: string,
    preparedNick: string,
    done: (refusal: Refusal | undefined) => void,
    roles: readonly string[] = ['moderator', 'participant', 'visitor'],
  ): void {
    const [role, ...rest] = roles;
    if (role === undefined) {
      done(undefined);
      return;
    }
    this.#list(room, `role='${role}'`, (listed) => {
      const taken =
        Array.isArray(listed) &&
        listed.some((each) => each.nick === preparedNick && each.account !== account);
      if (taken) done(REFUSED.nickTaken);
      else this.#nickIsFree(room, account, preparedNick, done, rest);
    });
  }

  /** @param done gets a list, the condition by which it was refused, or undefined when there is no answer */
  #list(room: string, what: string, done: (listed: Listed[] | string | undefined) => void): void {
    this.#ask(room, `<query xmlns='${NS.mucAdmin}'><item ${what}/></query>`, (answer) => {
      if (answer.kind === 'error') done(answer.condition);
      else done(answer.kind === 'result' ? readItems(answer.iq, room) : undefined);
    });
  }

  #ask(to: string, payload: string, done: (answer: IqAnswer) => void): void {
    this.around.context.request({ leg: 'server', type: 'get', to, payload, timeoutMs: 15_000 }, done);
  }
}

const NOTHING: RoomInfo = {
  exists: false,
  membersOnly: false,
  hasPassword: false,
  nonAnonymous: false,
  registersNicks: false,
};

function readItems(iq: Element, room: string): Listed[] {
  const items = iq.getChild('query', NS.mucAdmin)?.getChildren('item') ?? [];
  return items.map(({ attrs }) => ({
    account: attrs.jid === undefined ? undefined : prepareJid(bare(String(attrs.jid))),
    nick: attrs.nick === undefined ? undefined : nickOf(`${room}/${attrs.nick}`),
  }));
}
