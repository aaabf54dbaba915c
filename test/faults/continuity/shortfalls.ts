import type { ServerKind } from '../../integration/servers/server.js';
import * as alone from './alone.js';
import type { Anomaly, Event, Wrong } from './ledger.js';

/**
 * What a server does not give even without a proxy. It is accepted only in front of that server, only where
 * what causes it happened to those concerned behind the message, and only if the server alone is seen to do
 * it in the same run.
 */
export interface Shortfall {
  what: string;
  wrongs: readonly Wrong[];
  kinds: readonly Anomaly['kind'][];
  /** One of these happened to the account that it was for; and, where listed, to its sender. */
  reader?: readonly Event[];
  sender?: readonly Event[];
  /** It is out of order behind what came before the first presence counted, and the server has sent the two in this order. */
  behindEarly?: true;
  /** The server has had it, and has never sent it. */
  unsent?: true;
  /** How it is seen of the server alone, where the random rounds have not shown it. */
  alone: alone.Demonstration;
}

const PRIVATE = ['to a resource', 'to the account'] as const;

/** All of them. */
const OF_ALL: Shortfall[] = [
  {
    what: 'what was kept for a resource that was gone comes with its first presence, behind what is sent to it as soon as it is bound',
    alone: alone.isWrittenToWhenItReturns,
    wrongs: ['disordered'],
    kinds: ['to a resource'],
    reader: ['session over'],
    behindEarly: true,
  },
];

/** Prosody and ejabberd agree in this. */
const WITH_RESUMPTION: Shortfall[] = [
  ...OF_ALL,
  {
    what: 'a session that the server kept was not resumed while another device was there: what was not acknowledged goes back to its sender as an error',
    alone: alone.comesBackOtherwise,
    wrongs: ['returned'],
    kinds: PRIVATE,
    reader: ['broken off'],
  },
  {
    what: 'the same, and the session of the sender is over too, so that nobody gets the error',
    alone: alone.senderGoesMeanwhile,
    wrongs: ['lost'],
    kinds: PRIVATE,
    reader: ['broken off'],
    sender: ['session over'],
  },
];

export const SHORTFALLS: Record<ServerKind, Shortfall[]> = {
  prosody: WITH_RESUMPTION,
  ejabberd: [
    ...WITH_RESUMPTION,
    {
      what: 'what was not acknowledged in a session that was not resumed comes behind what was sent to the next one directly',
      alone: alone.isWrittenToMeanwhile,
      wrongs: ['disordered'],
      kinds: ['to a resource'],
      reader: ['broken off'],
    },
  ],
  jabberd2: [
    ...OF_ALL,
    {
      what: 'without stream management on the server, what is on its way to a client is lost with its connection',
      alone: alone.breaksUnread,
      wrongs: ['lost'],
      kinds: [...PRIVATE, 'in the room'],
      reader: ['leg lost'],
    },
    {
      what: 'what the server has for a session and has not sent is lost when that ends its stream',
      alone: alone.endsWhileWrittenTo,
      wrongs: ['lost'],
      kinds: [...PRIVATE, 'in the room'],
      reader: ['session over'],
      unsent: true,
    },
    {
      what: 'and what is on its way from one is lost with the connection of the sender, whose acknowledgement is the kernel’s',
      alone: alone.breaksBehindIt,
      wrongs: ['lost'],
      kinds: [...PRIVATE, 'in the room'],
      sender: ['leg lost'],
    },
    {
      what: 'what a room sends to a session that is over is given to the other devices of the account, which have it already or have it later',
      alone: alone.breaksWhileTheRoomSpeaks,
      wrongs: ['duplicated', 'disordered'],
      kinds: ['in the room'],
      reader: ['session over', 'leg lost'],
    },
  ],
};

const among = (happened: readonly Event[], wanted: readonly Event[] | undefined) =>
  wanted === undefined || happened.some((what) => wanted.includes(what));

export function fits(anomaly: Anomaly, shortfall: Shortfall): boolean {
  const { wrong, kind, reader, sender, behindEarly, unsent } = anomaly;
  if (!shortfall.wrongs.includes(wrong) || !shortfall.kinds.includes(kind)) return false;
  if (shortfall.behindEarly === true && behindEarly !== true) return false;
  if (shortfall.unsent === true && unsent !== true) return false;
  return among(reader, shortfall.reader) && among(sender, shortfall.sender);
}
