/** What passes between a client called Juliet and a room. */
export const ROOM = 'orchard@chats.shakespeare.lit';

const x = (content: string) => `<x xmlns='http://jabber.org/protocol/muc#user'>${content}</x>`;
const status = (codes: readonly string[]) => codes.map((code) => `<status code='${code}'/>`).join('');

export const join = (nick: string) =>
  `<presence to='${ROOM}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`;

export const leave = (nick: string) => `<presence to='${ROOM}/${nick}' type='unavailable'/>`;

/** An occupant is there. */
export const here = (nick: string, ...codes: readonly string[]) =>
  `<presence from='${ROOM}/${nick}'>${x(`<item affiliation='none' role='participant'/>${status(codes)}`)}</presence>`;

/** An occupant is gone. */
export const gone = (nick: string, ...codes: readonly string[]) =>
  `<presence from='${ROOM}/${nick}' type='unavailable'>${x(`<item affiliation='none' role='none'/>${status(codes)}`)}</presence>`;

export const destroyed = (nick: string, reason: string, code: string, alternative?: string) => {
  const jid = alternative === undefined ? '' : ` jid='${alternative}'`;
  const codes = code === '' ? [] : [code];
  return `<presence from='${ROOM}/${nick}' type='unavailable'>${x(`<item/><destroy${jid}><reason>${reason}</reason></destroy>${status(codes)}`)}</presence>`;
};

const errorChild = (condition: string) =>
  `<error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;

export const error = (from: string, condition: string) =>
  `<presence from='${from}' type='error'>${errorChild(condition)}</presence>`;

export const ping = (nick: string, id: string) =>
  `<iq type='get' id='${id}' to='${ROOM}/${nick}'><ping xmlns='urn:xmpp:ping'/></iq>`;

export const pong = (nick: string, id: string, condition?: string) =>
  condition === undefined
    ? `<iq type='result' id='${id}' from='${ROOM}/${nick}'/>`
    : `<iq type='error' id='${id}' from='${ROOM}/${nick}'>${errorChild(condition)}</iq>`;
