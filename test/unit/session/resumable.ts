import { Playbook, type Setting } from './playbook.js';

export const SM = 'urn:xmpp:sm:3';
export const ENABLE = `<enable xmlns='${SM}' resume='true'/>`;
export const FEATURES = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
export const SM_FEATURE = `<sm xmlns='${SM}'/>`;
export const message = (n: number) =>
  `<message from='b@example.net/x' id='m${n}' type='chat'><body>${n}</body></message>`;
const DELAY = "<delay xmlns='urn:xmpp:delay' from='example\\.org' stamp='[^']*'/>";
export const delayed = (n: number) => message(n).replace('</message>', `${DELAY}</message>`);
export const ID = 'resume-me';

/** A bound client that may resume, on a server with stream management or without. */
export function resumable(setting: Setting & { serverSm?: boolean; jid?: string } = {}): Playbook {
  const { serverSm = true, jid = 'a@example.org/r' } = setting;
  const play = new Playbook({ ...setting, hold: { seconds: 300, ...setting.hold }, ids: [ID] });
  play.bound({ features: serverSm ? FEATURES + SM_FEATURE : FEATURES, jid });
  play.client(ENABLE).toClient(`<enabled xmlns='${SM}' id='${ID}' resume='true' max='300'/>`);
  if (serverSm) {
    play
      .toServer(`<enable xmlns='${SM}' resume='true'/>`)
      .server(`<enabled xmlns='${SM}' id='server-id' resume='true' max='600'/>`);
  }
  return play;
}

/** The server has ended its stream too: the session is over. */
export const isOver = (play: Playbook): Playbook => play.server('</stream:stream>').sendsOnly();

/** The same account on a new connection, authenticated and asking to resume. */
export function comesBack(former: Playbook, h = 0, id = ID): Playbook {
  return new Playbook({ with: former, hold: { seconds: 300 } })
    .at(former.now)
    .authenticated(FEATURES + SM_FEATURE)
    .client(`<resume xmlns='${SM}' previd='${id}' h='${h}'/>`)
    .sendsOnly();
}

export const PROBE = /^<iq type='set' id='id1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'\/><\/iq>$/;
export const BIND_RESULT = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/r</jid></bind>";
export const boundAs = (jid: string) =>
  `<iq type='result' id='id1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>${jid}</jid></bind></iq>`;
