import { randomUUID } from 'node:crypto';
import type { Element } from 'ltx';
import {
  BIND2,
  CARBONS,
  FAST,
  find,
  MAM,
  type OneStepClient,
  START,
} from '../test/integration/clients/one-step.js';
import type { Account } from '../test/integration/clients/raw.js';
import { NS } from '../test/integration/clients/raw-stream.js';
import { startSasl } from '../test/integration/clients/sasl.js';

/*
 * The ways in which a client can get from an established TLS connection to a whole session: available, its archive caught up with, its rooms entered.
 */

export const MUC = 'http://jabber.org/protocol/muc';
export const RSM = 'http://jabber.org/protocol/rsm';
const ENABLE = `<enable xmlns='${NS.sm}' resume='true'/>`;
/** As many as Prosody gives at a time. */
const PAGE = 50;
const NO_HISTORY = `<history xmlns='${MUC}' maxstanzas='0'/>`;
const NICK = 'alice';

/** What there is to be caught up with. */
export interface Goal {
  readonly account: Account;
  readonly rooms: readonly string[];
  /** Id in the archive of the last message that the client knows. */
  readonly known: string;
  readonly missed: readonly string[];
}

export interface Taken {
  readonly milliseconds: number;
  readonly roundTrips: number;
}

/**
 * Stream, SASL, restart, binding, and then all the rest.
 *
 * @param patient it waits for each answer, and for its archive before it says that it is there, as libraries do; otherwise everything is sent at
 *   once that may be
 */
export async function startClassically(client: OneStepClient, goal: Goal, patient: boolean): Promise<Taken> {
  const began = performance.now();
  const { raw } = client;
  const { account, rooms } = goal;
  const features = (): Promise<Element> =>
    client.hear('features', (element) => element.is('features', NS.streams));
  client.say(client.header());
  await features();
  const run = startSasl('SCRAM-SHA-1', account.name, account.password, account.domain);
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const step = (name: string): Promise<Element> => client.hear(name, (element) => element.is(name, NS.sasl));
  client.say(`<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-1'>${base64(run.initial ?? '')}</auth>`);
  const challenge = Buffer.from((await step('challenge')).getText(), 'base64').toString();
  client.say(`<response xmlns='${NS.sasl}'>${base64(run.answer(challenge))}</response>`);
  run.verify(Buffer.from((await step('success')).getText(), 'base64').toString());
  raw.stream.expectHeader();
  client.say(client.header());
  const session = (await features()).getChild('session', NS.session);
  const answer = (id: string): Promise<Element> =>
    client.hear(`the answer to ${id}`, (element) => element.is('iq') && element.attrs.id === id);
  client.say(`<iq type='set' id='bind'><bind xmlns='${NS.bind}'/></iq>`);
  await answer('bind');
  if (session && !session.getChild('optional')) {
    client.say(`<iq type='set' id='session'><session xmlns='${NS.session}'/></iq>`);
    await answer('session');
  }
  const page = (after: string): string =>
    `<iq type='set' id='page-${after}'><query xmlns='${MAM}' queryid='sync'><set xmlns='${RSM}'>` +
    `<max>${PAGE}</max><after>${after}</after></set></query></iq>`;
  const carbons = `<iq type='set' id='carbons'><enable xmlns='${CARBONS}'/></iq>`;
  const joins = rooms.map(
    (room) => `<presence to='${room}/${NICK}'><x xmlns='${MUC}'>${NO_HISTORY}</x></presence>`,
  );
  const arrival = ['<presence/>', ...joins].join('');
  if (patient) {
    client.say(ENABLE);
    await client.hear('enabled', (element) => element.is('enabled', NS.sm));
    client.say(carbons);
    await answer('carbons');
    client.say(page(goal.known));
  } else client.say([ENABLE, carbons, page(goal.known), arrival].join(''));
  for (let after = goal.known; ; ) {
    const fin = (await answer(`page-${after}`)).getChild('fin', MAM);
    if (fin?.attrs.complete === 'true') break;
    after = fin?.getChild('set')?.getChildText('last') ?? '';
    if (after === '') throw new Error('a page of the archive does not say where it ends');
    client.say(page(after));
  }
  if (patient) client.say(arrival);
  await entered(client, rooms);
  return taken(client, began, goal);
}

/** What is needed to come back. */
export interface Ticket {
  readonly token: string;
  readonly installation: string;
  readonly id: string;
}

/** Everything in the request that authenticates (XEP-0388, XEP-0386). */
export async function startInOneStep(client: OneStepClient, goal: Goal): Promise<Taken & Ticket> {
  const began = performance.now();
  const { account, rooms, known } = goal;
  const installation = randomUUID();
  const joins = rooms.map((room) => `<room jid='${room}' nick='${NICK}'>${NO_HISTORY}</room>`);
  const start =
    `<session-start xmlns='${START}'><archive after='${known}' queryid='sync'/><presence xmlns='jabber:client'/>` +
    `${joins.join('')}</session-start>`;
  const inline =
    `<user-agent id='${installation}'/><request-token xmlns='${FAST}' mechanism='HT-SHA-256-NONE'/>` +
    `<bind xmlns='${BIND2}'><tag>bench</tag><enable xmlns='${CARBONS}'/>${ENABLE}${start}</bind>`;
  const success = await client.start(account, 'SCRAM-SHA-1', inline, account.jid);
  const isSynced = (element: Element): boolean => element.getChild('synced', START) !== undefined;
  const synced = (await client.hear('the end of the archive', isSynced)).getChild('synced', START);
  if (synced?.attrs.gap !== undefined) throw new Error('there is a gap in what the archive gave');
  await entered(client, rooms);
  const token = success.getChild('token', FAST)?.attrs.token;
  const id = find(success, 'enabled')?.attrs.id;
  if (token === undefined || id === undefined) throw new Error('no token, or no right to resume');
  return { ...taken(client, began, goal), token, installation, id };
}

/** The session is still there, with its rooms; what was missed waits for it. */
export async function resumeWithToken(
  client: OneStepClient,
  goal: Goal,
  ticket: Ticket,
  handled: number,
): Promise<Taken> {
  const began = performance.now();
  const inline = `<user-agent id='${ticket.installation}'/><resume xmlns='${NS.sm}' previd='${ticket.id}' h='${handled}'/>`;
  const answer = await client.resume(goal.account, ticket.token, inline);
  if (answer.getChild('resumed', NS.sm) === undefined) throw new Error(`not resumed: ${answer}`);
  const last = goal.missed.at(-1);
  await client.hear('what was missed', (element) => element.getChildText('body') === last);
  return taken(client, began, goal);
}

async function entered(client: OneStepClient, rooms: readonly string[]): Promise<void> {
  for (const room of rooms) {
    await client.hear(
      `own presence in ${room}`,
      ({ name, attrs }) =>
        name === 'presence' && attrs.from === `${room}/${NICK}` && attrs.type === undefined,
    );
  }
}

/** A way that leaves something out would not be the same. */
function taken(client: OneStepClient, began: number, goal: Goal): Taken {
  const milliseconds = performance.now() - began;
  const bodies = new Set(client.given().map(({ body }) => body));
  const lost = goal.missed.filter((body) => !bodies.has(body));
  if (lost.length > 0) throw new Error(`${lost.length} of ${goal.missed.length} messages are missing`);
  return { milliseconds, roundTrips: client.roundTrips };
}
