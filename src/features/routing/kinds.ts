import type { Frame } from '../../xml/frame.js';
import { type NamespaceTable, NS } from '../../xml/namespaces.js';

/**
 * - `conversational`: part of the conversation, for all devices of its reader; a message with such content is re-addressed
 * - `transient`: of use to one device or for the moment; makes nobody re-address, but does not keep a message with a body back either
 * - `single`: for one device whatever comes along with it: the exception list
 */
export type Nature = 'conversational' | 'transient' | 'single';

/** One kind of content of a message. */
export interface Kind {
  readonly name: string;
  readonly namespace: string;
  /** Local names; absent: every element of the namespace. */
  readonly elements?: readonly string[];
  readonly nature: Nature;
  readonly because: string;
}

/** What the seed leaves open as "needs to detect body presence / special use cases". `docs/routing.md` shows the same table. */
export const KINDS: readonly Kind[] = [
  {
    name: 'body',
    namespace: NS.client,
    elements: ['body'],
    nature: 'conversational',
    because: 'it is what is said',
  },
  {
    name: 'subject only',
    namespace: NS.client,
    elements: ['subject'],
    nature: 'conversational',
    because: 'a subject without a body is read by the user like one (RFC 6121 §5.2.4)',
  },
  {
    name: 'thread only',
    namespace: NS.client,
    elements: ['thread'],
    nature: 'transient',
    because: 'a thread without content says nothing (RFC 6121 §5.2.5)',
  },
  {
    name: 'receipt',
    namespace: NS.receipts,
    elements: ['received'],
    nature: 'conversational',
    because: 'all devices show the message as delivered (XEP-0184)',
  },
  {
    name: 'chat state',
    namespace: NS.chatStates,
    nature: 'transient',
    because: 'it is over before another device is looked at (XEP-0085)',
  },
  {
    name: 'chat marker',
    namespace: NS.chatMarkers,
    elements: ['received', 'displayed', 'acknowledged'],
    nature: 'conversational',
    because: 'all devices show how far has been read (XEP-0333)',
  },
  {
    name: 'correction',
    namespace: NS.correction,
    nature: 'conversational',
    because: 'it changes a message that all devices show (XEP-0308)',
  },
  {
    name: 'reaction',
    namespace: NS.reactions,
    nature: 'conversational',
    because: 'it belongs to a message that all devices show (XEP-0444)',
  },
  {
    name: 'retraction',
    namespace: NS.retraction,
    nature: 'conversational',
    because: 'it takes back a message that all devices show (XEP-0424)',
  },
  {
    name: 'fastening',
    namespace: NS.fastening,
    nature: 'conversational',
    because: 'it belongs to a message that all devices show (XEP-0422)',
  },
  {
    name: 'OMEMO',
    namespace: NS.omemo,
    elements: ['encrypted'],
    nature: 'conversational',
    because: 'it is encrypted for all devices of its reader (XEP-0384)',
  },
  {
    name: 'OMEMO 2',
    namespace: NS.omemo2,
    elements: ['encrypted'],
    nature: 'conversational',
    because: 'it is encrypted for all devices of its reader (XEP-0384)',
  },
  {
    name: 'OpenPGP',
    namespace: NS.openPgp,
    nature: 'conversational',
    because: 'the key is the user’s, not a device’s (XEP-0373)',
  },
  {
    name: 'OpenPGP, old',
    namespace: NS.pgpEncrypted,
    nature: 'conversational',
    because: 'the key is the user’s, not a device’s (XEP-0027)',
  },
  {
    name: 'direct invitation',
    namespace: NS.directInvite,
    nature: 'conversational',
    because: 'the user is invited, on whatever device (XEP-0249)',
  },
  {
    name: 'link or file',
    namespace: NS.outOfBand,
    nature: 'conversational',
    because: 'a link is content like a text (XEP-0066)',
  },
  {
    name: 'shared file',
    namespace: NS.fileSharing,
    nature: 'conversational',
    because: 'a file is content like a text (XEP-0447)',
  },
  {
    name: 'formatted text',
    namespace: NS.xhtml,
    nature: 'conversational',
    because: 'it is another form of a body (XEP-0071)',
  },
  {
    name: 'call offered, taken back or refused',
    namespace: NS.jingleMessage,
    elements: ['propose', 'retract', 'reject', 'finish'],
    nature: 'conversational',
    because: 'all devices ring and stop ringing (XEP-0353)',
  },
  {
    name: 'call taken',
    namespace: NS.jingleMessage,
    elements: ['proceed', 'ringing', 'accept'],
    nature: 'single',
    because: 'what follows is between the two devices that it names (XEP-0353 §3)',
  },
  {
    name: 'room private message or mediated invitation',
    namespace: NS.mucUser,
    nature: 'single',
    because: 'to the room’s bare JID it would be published (XEP-0045 §7.5)',
  },
  {
    name: 'pubsub or MUC/Sub event',
    namespace: NS.pubsubEvent,
    nature: 'single',
    because: 'each device gets its own, by what it has subscribed to (XEP-0060, XEP-0163 §4.3)',
  },
  {
    name: 'in-band bytestream',
    namespace: NS.inBandBytes,
    nature: 'single',
    because: 'the bytes belong to one device’s transfer (XEP-0047)',
  },
  {
    name: 'data form',
    namespace: NS.dataForms,
    nature: 'transient',
    because: 'without a body only a program reads it (XEP-0004)',
  },
  {
    name: 'message event',
    namespace: NS.messageEvents,
    nature: 'transient',
    because: 'the chat states of another age (XEP-0022)',
  },
  {
    name: 'roster items',
    namespace: NS.rosterExchange,
    nature: 'transient',
    because: 'one device does it for the account (XEP-0144 §8)',
  },
  {
    name: 'confirmation of an HTTP request',
    namespace: NS.httpAuth,
    nature: 'single',
    because: 'the device that is asked has to answer (XEP-0070)',
  },
  {
    name: 'attention',
    namespace: NS.attention,
    nature: 'transient',
    because: 'it is for the device in use (XEP-0224)',
  },
  {
    name: 'archive result',
    namespace: NS.mam2,
    nature: 'single',
    because: 'the device that asked for it gets it (XEP-0313)',
  },
];

// What `examine` finds.
export const BODY = 1;
export const CONVERSATIONAL = 2;
export const SINGLE = 4;
/** Marked `<xmpp-2/>`. */
export const TWO = 8;
/** Marked `<xmpp-1/>`. */
export const ONE = 16;
export const PRIVATE = 32;
export const NO_COPY = 64;
export const NO_ARCHIVE = 128;
/** A copy by XEP-0280, or what looks like one. */
export const CARBON = 256;
/** `<im-ng/>`: for the addressed resource alone (XEP-0409 §3.3). */
export const ALONE = 512;
export const ARCHIVE_RESULT = 1024;
/** A room's: a private message, or an invitation. */
export const OF_ROOM = 2048;

interface Sign {
  readonly element: string | undefined;
  readonly flags: number;
}

const SIGNS: readonly (Sign & { readonly namespace: string })[] = [
  { namespace: NS.xmpp2, element: 'xmpp-2', flags: TWO },
  { namespace: NS.xmpp2, element: 'xmpp-1', flags: ONE },
  { namespace: NS.carbons2, element: 'private', flags: PRIVATE },
  { namespace: NS.carbons2, element: 'received', flags: CARBON },
  { namespace: NS.carbons2, element: 'sent', flags: CARBON },
  { namespace: NS.hints, element: 'no-copy', flags: NO_COPY },
  { namespace: NS.hints, element: 'no-store', flags: NO_ARCHIVE },
  { namespace: NS.hints, element: 'no-permanent-store', flags: NO_ARCHIVE },
  { namespace: NS.imNg, element: 'im-ng', flags: ALONE },
  { namespace: NS.mam2, element: 'result', flags: ARCHIVE_RESULT },
  { namespace: NS.mucUser, element: undefined, flags: OF_ROOM },
  { namespace: NS.client, element: 'body', flags: BODY },
  ...KINDS.flatMap(({ namespace, elements, nature }) => {
    const flags = nature === 'conversational' ? CONVERSATIONAL : nature === 'single' ? SINGLE : 0;
    return (elements ?? [undefined]).map((element) => ({ namespace, element, flags }));
  }),
].filter(({ flags }) => flags !== 0);

/** By namespace number; a stanza is looked through without making a string of anything. */
let compiled: { readonly table: NamespaceTable; readonly signs: readonly (readonly Sign[] | undefined)[] };

function signsOf(table: NamespaceTable): readonly (readonly Sign[] | undefined)[] {
  if (compiled?.table === table) return compiled.signs;
  const signs: (Sign[] | undefined)[] = Array.from({ length: table.size });
  for (const { namespace, element, flags } of SIGNS) {
    const id = table.id(namespace);
    const list = signs[id] ?? [];
    signs[id] = list;
    const known = list.findIndex((sign) => sign.element === element);
    if (known < 0) list.push({ element, flags });
    else list[known] = { element, flags: list[known]!.flags | flags };
  }
  compiled = { table, signs };
  return signs;
}

/** What is in a message, as a sum of the flags above. */
export function examine(frame: Frame): number {
  const signs = signsOf(frame.namespaces);
  let found = 0;
  for (let i = 0; i < frame.childCount; i++) {
    const candidates = signs[frame.childNamespaceId(i)];
    if (candidates === undefined) continue;
    for (const { element, flags } of candidates) {
      if (element !== undefined && !frame.childHasName(i, element)) continue;
      found |= flags;
      if ((flags & BODY) !== 0 && isOtr(frame, i)) found |= SINGLE;
    }
  }
  return found;
}

const GREATER = 0x3e;
const QUESTION = 0x3f;
const QUOTES = [0x22, 0x27];

/** Whether a body is one device's encrypted talk to another (XEP-0364). A mere offer of OTR is a text like others. */
function isOtr(frame: Frame, child: number): boolean {
  const { buffer } = frame;
  const end = frame.childEnd(child);
  let quote = 0;
  for (let at = frame.childStart(child); at < end; at++) {
    const c = buffer[at]!;
    if (quote !== 0) quote = c === quote ? 0 : quote;
    else if (QUOTES.includes(c)) quote = c;
    else if (c === GREATER)
      return buffer[at + 1] === QUESTION && buffer.toString('latin1', at + 1, at + 5) === '?OTR';
  }
  return false;
}
