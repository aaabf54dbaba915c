import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import { type Account, Actor } from './actor.js';
import type { Tap } from './tap.js';
import type { Traffic } from './traffic.js';

/** Where the play is given and who watches it. */
export interface Stage {
  readonly domain: string;
  /** Where the proxy listens. */
  readonly port: number;
  readonly tap: Tap;
  readonly traffic: Traffic;
  readonly accounts: { readonly romeo: Account; readonly juliet: Account };
  /** Called behind each scene, when what it caused has arrived. */
  scene(title: string, shown: Shown): Promise<void>;
}

/** How much of a scene is worth seeing: all, all but acknowledgements, or how much it was. */
export type Shown = 'all' | 'stanzas' | 'counted';

/**
 * What the two clients do, scene by scene. Everything is awaited by what it brings about, so the play takes as long as the
 * servers do and no longer.
 * @throws StreamProblem, SignInRefused
 */
export async function perform(stage: Stage, actors: Actor[]): Promise<void> {
  const { scene, domain, accounts } = stage;
  const romeo = await enter(stage, accounts.romeo, actors);
  await romeo.secure();
  await scene('Romeo connects: TLS ends at the proxy', 'all');
  await romeo.logIn();
  await scene('He logs in: SCRAM goes through untouched, the proxy never knows the password', 'stanzas');
  await romeo.iq('get', `<query xmlns='${NS.roster}'/>`);
  romeo.send('<presence/>');
  await settle(romeo);
  await romeo.enableStreamManagement();
  await scene('Roster, presence, stream management', 'all');

  const juliet = await enter(stage, accounts.juliet, actors);
  await juliet.secure();
  await juliet.logIn();
  await juliet.iq('get', `<query xmlns='${NS.roster}'/>`);
  juliet.send('<presence/>');
  await settle(juliet);
  await juliet.enableStreamManagement();
  await scene('Juliet does the same', 'counted');

  await befriend(romeo, juliet, domain);
  await scene('He asks for her presence, and she lets him see it', 'stanzas');

  romeo.say(`juliet@${domain}`, 'chat', 'But, soft! What light through yonder window breaks?');
  await juliet.hears('But, soft! What light through yonder window breaks?');
  juliet.say(
    romeo.jid,
    'chat',
    'What man art thou, that, thus bescreened in night, so stumblest on my counsel?',
  );
  await romeo.hears('What man art thou, that, thus bescreened in night, so stumblest on my counsel?');
  await romeo.askForAcknowledgement();
  await settle(romeo);
  await scene('They talk; he asks whether it has arrived', 'all');

  const room = `orchard@rooms.${domain}`;
  await join(romeo, room);
  await join(juliet, room);
  await romeo.expect('her arrival', (element) => isPresenceFrom(element, `${room}/juliet`));
  juliet.say(room, 'groupchat', "What's in a name?");
  await romeo.hears("What's in a name?");
  await scene('A room', 'stanzas');

  await romeo.leave();
  await juliet.leave();
  await scene('They part', 'counted');
}

async function enter(stage: Stage, account: Account, actors: Actor[]): Promise<Actor> {
  stage.tap.expect(account.name);
  const actor = await Actor.connect(account, stage.domain, stage.port, stage.traffic);
  actors.push(actor);
  return actor;
}

/** A round trip to the server: what was caused before has arrived when it is over. */
async function settle(actor: Actor): Promise<void> {
  await actor.iq('get', `<ping xmlns='${NS.ping}'/>`);
}

async function befriend(romeo: Actor, juliet: Actor, domain: string): Promise<void> {
  romeo.send(`<presence to='juliet@${domain}' type='subscribe'/>`);
  await juliet.expect('his request', (element) => element.attrs.type === 'subscribe');
  juliet.send(`<presence to='romeo@${domain}' type='subscribed'/>`);
  await romeo.expect('her presence', (element) => isPresenceFrom(element, juliet.jid));
}

async function join(actor: Actor, room: string): Promise<void> {
  const occupant = `${room}/${actor.account.name}`;
  actor.send(`<presence to='${occupant}'><x xmlns='${NS.muc}'/></presence>`);
  await actor.expect('the own presence in the room', (element) => isPresenceFrom(element, occupant));
  await actor.expect('the subject', (element) => element.getChild('subject') !== undefined);
}

function isPresenceFrom(element: Element, from: string): boolean {
  return element.getName() === 'presence' && element.attrs.from === from && element.attrs.type === undefined;
}
