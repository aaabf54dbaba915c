import { Buffer } from 'node:buffer';

/*
 * What the scripted ends of the bench say to each other. Both are made for their own traffic, which is known to the byte: they are as cheap as
 * can be, so that the machine is left to what is measured, and they are no XMPP implementation.
 */

export const DOMAIN = 'bench.example';
export const LOOPBACK = '127.0.0.1';

/** What is sent to an account with such a name is thrown away by the backend instead of echoed. */
export const SINK_ACCOUNT = 'sink';

const NS_STREAM = 'http://etherx.jabber.org/streams';
const NS_BIND = 'urn:ietf:params:xml:ns:xmpp-bind';
const NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
const NS_TLS = 'urn:ietf:params:xml:ns:xmpp-tls';

export const CLIENT_HEADER =
  `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='${NS_STREAM}' ` +
  `to='${DOMAIN}' version='1.0'>`;

export const SERVER_HEADER =
  `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='${NS_STREAM}' ` +
  `from='${DOMAIN}' id='b3nch' version='1.0' xml:lang='en'>`;

export const SASL_FEATURES = `<stream:features><mechanisms xmlns='${NS_SASL}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>`;

export function bindFeatures(streamManagement: boolean): string {
  const sm = streamManagement ? "<sm xmlns='urn:xmpp:sm:3'/>" : '';
  return `<stream:features><bind xmlns='${NS_BIND}'/>${sm}</stream:features>`;
}

export const STARTTLS = `<starttls xmlns='${NS_TLS}'/>`;
export const SASL_SUCCESS = `<success xmlns='${NS_SASL}'/>`;

/** With the right to resume. */
export const ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

export function plainAuth(account: string): string {
  const secret = Buffer.from(`\0${account}\0secret`).toString('base64');
  return `<auth xmlns='${NS_SASL}' mechanism='PLAIN'>${secret}</auth>`;
}

export function bindRequest(resource: string): string {
  return `<iq type='set' id='bind'><bind xmlns='${NS_BIND}'><resource>${resource}</resource></bind></iq>`;
}

export function bindResult(id: string, account: string): string {
  const jid = `${account}@${DOMAIN}/bench`;
  return `<iq type='result' id='${id}'><bind xmlns='${NS_BIND}'><jid>${jid}</jid></bind></iq>`;
}

export function unavailable(id: string, from: string | undefined): string {
  const sender = from === undefined ? '' : ` from='${from}'`;
  return (
    `<iq type='error' id='${id}'${sender}><error type='cancel'>` +
    `<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`
  );
}

/** An ordinary chat message as clients send it today; about 330 bytes. */
export const CHAT = Buffer.from(
  `<message to='juliet@${DOMAIN}/balcony' type='chat' id='8f0c4ad5-9a0b-4f3e-8b1e-2a7f8f7d5c11' xml:lang='en'>` +
    '<body>What’s in a name? That which we call a rose by any</body>' +
    "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>" +
    "<origin-id xmlns='urn:xmpp:sid:0' id='8f0c4ad5-9a0b-4f3e'/></message>",
);

/** The same as said in a room by somebody whose server does not know XMPP 2.0: it is for the one that gets it, whoever that is. */
export const ANSWER = Buffer.from(
  CHAT.toString().replace(
    `to='juliet@${DOMAIN}/balcony' type='chat'`,
    `from='balcony@chats.${DOMAIN}/juliet' type='groupchat'`,
  ),
);
