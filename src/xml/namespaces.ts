import { Buffer } from 'node:buffer';

/** Namespace names by the word the field uses for them. */
export const NS = {
  client: 'jabber:client',
  stream: 'http://etherx.jabber.org/streams',
  xml: 'http://www.w3.org/XML/1998/namespace',
  xmlns: 'http://www.w3.org/2000/xmlns/',
  framing: 'urn:ietf:params:xml:ns:xmpp-framing',
  tls: 'urn:ietf:params:xml:ns:xmpp-tls',
  sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
  sasl2: 'urn:xmpp:sasl:2',
  saslChannelBinding: 'urn:xmpp:sasl-cb:0',
  bind: 'urn:ietf:params:xml:ns:xmpp-bind',
  bind2: 'urn:xmpp:bind:0',
  fast: 'urn:xmpp:fast:0',
  /** Ours: what a client leaves with the proxy to be done at the start of its session. */
  sessionStart: 'urn:interstanza:session-start:0',
  session: 'urn:ietf:params:xml:ns:xmpp-session',
  streamErrors: 'urn:ietf:params:xml:ns:xmpp-streams',
  stanzaErrors: 'urn:ietf:params:xml:ns:xmpp-stanzas',
  appErrors: 'urn:xmpp:errors',
  sm3: 'urn:xmpp:sm:3',
  sm2: 'urn:xmpp:sm:2',
  /** What jabberd2 announces; older than the numbered versions of XEP-0198. */
  smLegacy: 'http://www.xmpp.org/extensions/xep-0198.html#ns',
  discoInfo: 'http://jabber.org/protocol/disco#info',
  discoItems: 'http://jabber.org/protocol/disco#items',
  muc: 'http://jabber.org/protocol/muc',
  mucUser: 'http://jabber.org/protocol/muc#user',
  mucAdmin: 'http://jabber.org/protocol/muc#admin',
  mucOwner: 'http://jabber.org/protocol/muc#owner',
  caps: 'http://jabber.org/protocol/caps',
  caps2: 'urn:xmpp:caps',
  hashes2: 'urn:xmpp:hashes:2',
  carbons2: 'urn:xmpp:carbons:2',
  forward0: 'urn:xmpp:forward:0',
  delay: 'urn:xmpp:delay',
  hints: 'urn:xmpp:hints',
  mam2: 'urn:xmpp:mam:2',
  resultSets: 'http://jabber.org/protocol/rsm',
  privacy: 'jabber:iq:privacy',
  ping: 'urn:xmpp:ping',
  roster: 'jabber:iq:roster',
  rosterVersion: 'urn:xmpp:features:rosterver',
  register: 'jabber:iq:register',
  registerFeature: 'http://jabber.org/features/iq-register',
  iqAuth: 'jabber:iq:auth',
  iqAuthFeature: 'http://jabber.org/features/iq-auth',
  compressFeature: 'http://jabber.org/features/compress',
  compress: 'http://jabber.org/protocol/compress',
  csi: 'urn:xmpp:csi:0',
  streamLimits: 'urn:xmpp:stream-limits:0',
  psa: 'urn:xmpp:psa',
  sid: 'urn:xmpp:sid:0',
  occupantId: 'urn:xmpp:occupant-id:0',
  receipts: 'urn:xmpp:receipts',
  chatStates: 'http://jabber.org/protocol/chatstates',
  dataForms: 'jabber:x:data',
  presenceSession: 'urn:xmpp:presence-session:0',
  presenceVersioning: 'urn:xmpp:muc-presence-versioning:0',
  /** XEP-0091, which XEP-0203 has replaced. */
  delayLegacy: 'jabber:x:delay',
  /** Of both marks, `<xmpp-2/>` and `<xmpp-1/>`: the draft leaves it open. */
  xmpp2: 'urn:xmpp:xmpp-2:0',
  imNg: 'urn:xmpp:im-ng:0',
  chatMarkers: 'urn:xmpp:chat-markers:0',
  correction: 'urn:xmpp:message-correct:0',
  reactions: 'urn:xmpp:reactions:0',
  retraction: 'urn:xmpp:message-retract:1',
  fastening: 'urn:xmpp:fasten:0',
  omemo: 'eu.siacs.conversations.axolotl',
  omemo2: 'urn:xmpp:omemo:2',
  openPgp: 'urn:xmpp:openpgp:0',
  pgpEncrypted: 'jabber:x:encrypted',
  encryptedMessage: 'urn:xmpp:eme:0',
  directInvite: 'jabber:x:conference',
  pubsub: 'http://jabber.org/protocol/pubsub',
  pubsubEvent: 'http://jabber.org/protocol/pubsub#event',
  inBandBytes: 'http://jabber.org/protocol/ibb',
  jingleMessage: 'urn:xmpp:jingle-message:0',
  outOfBand: 'jabber:x:oob',
  fileSharing: 'urn:xmpp:sfs:0',
  xhtml: 'http://jabber.org/protocol/xhtml-im',
  messageEvents: 'jabber:x:event',
  rosterExchange: 'http://jabber.org/protocol/rosterx',
  httpAuth: 'http://jabber.org/protocol/http-auth',
  attention: 'urn:xmpp:attention:0',
  push: 'urn:xmpp:push:0',
  mucsub: 'urn:xmpp:mucsub:0',
  /** Ours: stands in a MUC/Sub event where others had to be dropped. */
  mucsubGap: 'urn:interstanza:mucsub-gap:0',
  lastActivity: 'jabber:iq:last',
} as const;

/** Ids that are the same in every table, so that the reader can compare with a constant. */
export const CLIENT_ID = 1;
export const STREAM_ID = 2;
export const XML_ID = 3;
export const XMLNS_ID = 4;
const FIXED = [NS.client, NS.stream, NS.xml, NS.xmlns];

/**
 * The closed set of namespaces that the program knows, numbered, so that a stanza's namespaces are compared as
 * small integers. Built once at start from `NS` and what features watch. Immutable.
 */
export class NamespaceTable {
  private readonly uris: readonly string[];
  private readonly ids = new Map<string, number>();
  /** Open addressing: id at `hash & mask`, 0 = free. */
  private readonly slots: Uint16Array;
  private readonly mask: number;
  /** All names one behind the other; `offsets[id]` is where one starts, `offsets[id + 1]` where it ends. */
  private readonly words: DataView;
  private readonly offsets: Int32Array;

  /** @param uris namespace names in any order; duplicates are one entry; at most 65,000 */
  constructor(uris: readonly string[]) {
    const all = [...new Set([...FIXED, ...uris])].filter((uri) => uri !== '');
    if (all.length > 65_000) throw new RangeError('a namespace table holds at most 65,000 names');
    this.uris = ['', ...all];
    const bytes = Buffer.from(all.join(''), 'utf8');
    this.words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.offsets = new Int32Array(all.length + 2);
    let size = 16;
    while (size < all.length * 4) size *= 2;
    this.slots = new Uint16Array(size);
    this.mask = size - 1;
    let offset = 0;
    for (let id = 1; id <= all.length; id++) {
      const uri = this.uris[id]!;
      this.ids.set(uri, id);
      this.offsets[id] = offset;
      const end = offset + Buffer.byteLength(uri);
      let slot = hash(this.words, offset, end) & this.mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & this.mask;
      this.slots[slot] = id;
      offset = end;
    }
    this.offsets[all.length + 1] = offset;
  }

  /** One more than the largest number. */
  get size(): number {
    return this.uris.length;
  }

  /** The number of a name; 0 = not in the table. */
  id(uri: string): number {
    return this.ids.get(uri) ?? 0;
  }

  /** The name of a number; '' for 0 and for what is no id of this table. */
  uri(id: number): string {
    return this.uris[id] ?? '';
  }

  /**
   * The number of the name that stands in `buf` from `start` up to `end`, without making a string.
   *
   * @returns 0 if it is not in the table
   */
  idOfBytes(buf: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length === 0) return 0;
    return this.idOfWords(new DataView(buf.buffer, buf.byteOffset, buf.byteLength), start, end);
  }

  /** The same, for who has a view on the bytes already: compares four at a time. */
  idOfWords(view: DataView, start: number, end: number): number {
    const length = end - start;
    if (length === 0) return 0;
    const { slots, mask, offsets, words } = this;
    for (let slot = hash(view, start, end) & mask; ; slot = (slot + 1) & mask) {
      const id = slots[slot]!;
      if (id === 0) return 0;
      const from = offsets[id]!;
      if (offsets[id + 1]! - from === length && sameBytes(view, start, words, from, length)) return id;
    }
  }
}

function sameBytes(a: DataView, aStart: number, b: DataView, bStart: number, length: number): boolean {
  let i = 0;
  for (; i + 4 <= length; i += 4) if (a.getInt32(aStart + i) !== b.getInt32(bStart + i)) return false;
  for (; i < length; i++) if (a.getUint8(aStart + i) !== b.getUint8(bStart + i)) return false;
  return true;
}

function hash(view: DataView, start: number, end: number): number {
  const length = end - start;
  return (
    length * 7 +
    view.getUint8(end - 1) * 31 +
    view.getUint8(end - ((length >> 2) + 1)) * 131 +
    view.getUint8(start + (length >> 1)) * 67
  );
}
