import { HEADER, MECHANISMS, Playbook, SERVER_HEADER, type Setting } from '../playbook.js';

export const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
export const SASL2 = 'urn:xmpp:sasl:2';
export const BIND2 = 'urn:xmpp:bind:0';
export const START = 'urn:interstanza:session-start:0';
export const MAM = 'urn:xmpp:mam:2';
export const SM = 'urn:xmpp:sm:3';
export const USER_AGENT = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>";
export const LEGACY_BIND = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";

/** What the server shows behind SASL, unless a test says otherwise. */
export const FEATURES = `${LEGACY_BIND}<csi xmlns='urn:xmpp:csi:0'/>`;
const TLS = { protocol: 'TLSv1.3', certificateSha256: undefined };

/** A client over TLS, and so one that may start its session in one step. */
export function overTls(setting: Setting = {}): Playbook {
  return new Playbook({ directTls: TLS, listener: { tls: 'direct' }, sessionStart: true, ...setting });
}

/** Up to the features, which have SASL2 among them. */
export function offered(setting: Setting = {}, features = MECHANISMS, from?: string): Playbook {
  const who = from === undefined ? '' : ` from='${from}'`;
  const header = HEADER.replace(/ version='1\.0'>$/, `${who} version='1.0'>`);
  const play = overTls(setting)
    .client(header)
    .commands('connect example.org', 'pause client')
    .connected()
    .toServer(header);
  play
    .server(`${SERVER_HEADER}<stream:features>${features}</stream:features>`)
    .commands('resume client')
    .toClient(/<authentication xmlns='urn:xmpp:sasl:2'>/);
  return play;
}

/** `<authenticate/>` with PLAIN, which the server takes; up to the server's features behind it. */
export function authenticated(
  play: Playbook,
  inline: string,
  features = FEATURES,
  header = HEADER,
): Playbook {
  return play
    .client(
      `<authenticate xmlns='${SASL2}' mechanism='PLAIN'><initial-response>AGEAYg==</initial-response>${inline}</authenticate>`,
    )
    .toServer(`<auth xmlns='${SASL}' mechanism='PLAIN'>AGEAYg==</auth>`)
    .server(`<success xmlns='${SASL}'/>`)
    .commands('pause client')
    .toServer(header)
    .server(`${SERVER_HEADER}<stream:features>${features}</stream:features>`);
}

export const bound = (id: string, jid = 'a@example.org/r') =>
  `<iq type='result' id='${id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>${jid}</jid></bind></iq>`;

/** The ids of the iqs that have been sent to the server since the last look, with what they ask. */
export function asked(play: Playbook): { id: string; xml: string }[] {
  const sent = play.takeSent('server');
  return [...sent.matchAll(/<iq [^>]*?id='([^']*)'[^>]*>.*?<\/iq>/g)].map((match) => ({
    id: match[1]!,
    xml: match[0],
  }));
}

export const HELD = { hold: { seconds: 300 } };
export const SERVER_SM = `${FEATURES}<sm xmlns='${SM}'/>`;
export const MANAGED_BIND = `<bind xmlns='${BIND2}'><enable xmlns='${SM}' resume='true'/></bind>`;

/** A session that was started in one step and may be resumed. */
export function started(
  play: Playbook,
  more = '',
  jidFor: (wanted: string) => string = () => 'a@example.org/r',
): { previd: string; token: string; success: string; resource: string } {
  authenticated(play, USER_AGENT + MANAGED_BIND + more, SERVER_SM);
  const [bind] = asked(play);
  const resource = /<resource>(.*)<\/resource>/.exec(bind!.xml)?.[1] ?? '';
  play.server(bound(bind!.id, jidFor(resource)));
  const [metadata] = asked(play);
  play.server(`<iq type='result' id='${metadata!.id}'><metadata xmlns='urn:xmpp:mam:2'/></iq>`);
  play
    .toServer(`<enable xmlns='${SM}' resume='true'/>`)
    .server(`<enabled xmlns='${SM}' id='server-id' resume='true' max='600'/>`);
  const success = play.takeSent('client');
  const [, previd] = /<enabled [^>]*?id='([^']*)'/.exec(success)!;
  const [, token] = /<token [^>]*?token='([^']*)'/.exec(success) ?? [];
  play.sendsOnly();
  return { resource, previd: previd!, token: token ?? '', success };
}
