import type { ServerKind } from '../../integration/servers/server.js';
import type { Anomaly, Wrong } from './ledger.js';

/**
 * What a server does not give even without a proxy. It is accepted only in front of that server, only where
 * what causes it was done to those concerned, and only if the server alone is seen to do it in the same run.
 */
export interface Shortfall {
  what: string;
  wrongs: readonly Wrong[];
  kinds?: readonly Anomaly['kind'][];
  /** One of these was done to the account that it was for; and, where listed, to its sender. */
  reader: readonly string[];
  sender?: readonly string[];
  /** What stands for it in a run without a proxy; by default the same. */
  alone?: readonly string[];
}

const SESSION_OVER = ['rebound', 'moved', 'closed', 'given up', 'proxy stopped', 'proxy killed'];
const SENDER_AWAY = ['rebound', 'moved', 'closed', 'cut', 'given up', 'server leg cut'];
const LEG_LOST = ['server leg cut', 'proxy killed', 'proxy stopped'];

/** Prosody and ejabberd agree in this. */
const WITH_RESUMPTION: Shortfall[] = [
  {
    what: 'a session is over, another device of the account is there: what was not acknowledged goes back to its sender as an error',
    wrongs: ['returned'],
    reader: SESSION_OVER,
  },
  {
    what: 'the same, and the session of the sender is over too, so that nobody gets the error',
    wrongs: ['lost'],
    kinds: ['to a resource', 'to the account'],
    reader: SESSION_OVER,
    sender: SENDER_AWAY,
  },
  {
    what: 'the same, when the hold ends so much later that nothing is known of the sender by then',
    wrongs: ['lost'],
    kinds: ['to a resource', 'to the account'],
    reader: ['moved', 'given up'],
  },
];

export const SHORTFALLS: Record<ServerKind, Shortfall[]> = {
  prosody: WITH_RESUMPTION,
  ejabberd: [
    ...WITH_RESUMPTION,
    {
      what: 'what was not acknowledged in a session that is over comes behind what was sent to the next one directly',
      wrongs: ['disordered'],
      kinds: ['to a resource'],
      reader: SESSION_OVER,
    },
  ],
  jabberd2: [
    {
      what: 'without stream management on the server, what is on its way to a client is lost with the connection',
      wrongs: ['lost'],
      reader: LEG_LOST,
      alone: ['cut', 'server leg cut', 'paused', 'closed', 'rebound'],
    },
    {
      what: 'and what is on its way from one is lost with the connection of the sender, whose acknowledgement is the kernel’s',
      wrongs: ['lost'],
      reader: [],
      sender: LEG_LOST,
      alone: ['cut', 'server leg cut', 'closed', 'rebound'],
    },
    {
      what: 'what a room sends to a session that is over is given to the other devices of the account, which have it already or have it later',
      wrongs: ['duplicated', 'disordered'],
      kinds: ['in the room'],
      reader: [...LEG_LOST, 'rebound', 'moved', 'closed', 'given up'],
      alone: ['cut', 'server leg cut', 'rebound', 'moved', 'closed', 'given up'],
    },
  ],
};

const among = (done: readonly string[], wanted: readonly string[]) =>
  wanted.length === 0 || done.some((what) => wanted.includes(what));

export function fits(anomaly: Anomaly, shortfall: Shortfall, via: 'direct' | 'proxy'): boolean {
  const { wrongs, kinds, reader, sender, alone } = shortfall;
  if (!wrongs.includes(anomaly.wrong) || (kinds && !kinds.includes(anomaly.kind))) return false;
  if (via === 'direct' && alone) return among([...anomaly.reader, ...anomaly.sender], alone);
  return among(anomaly.reader, reader) && among(anomaly.sender, sender ?? []);
}
