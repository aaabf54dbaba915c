import type { Watch } from '../../session/feature.js';
import { Interest } from '../../session/interests.js';
import { NS } from '../../xml/namespaces.js';

/** What each watch is for; the first that fits is the one. */
export enum On {
  Join,
  Speaks,
  Lists,
  Fetches,
  Event,
  Archived,
  Copied,
  Said,
}

/** Accounts are subscribed to rooms for their clients, or were. */
export const PLAYS = new Interest('accounts are subscribed for clients that do not know MUC/Sub');

const ALL: readonly Watch[] = [
  {
    direction: 'to-server',
    stanza: 'presence',
    types: [''],
    child: { namespace: NS.muc, name: 'x' },
    address: ['full'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mucsub },
    address: ['bare', 'domain'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['result'],
    child: { namespace: NS.discoInfo, name: 'query' },
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.mam2, name: 'query' },
    address: ['bare'],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    types: ['', 'normal'],
    child: { namespace: NS.pubsubEvent, name: 'event' },
    address: ['bare'],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.mam2, name: 'result' },
    address: ['bare', 'account'],
  },
  {
    direction: 'to-client',
    stanza: 'message',
    child: { namespace: NS.carbons2 },
    address: ['account'],
  },
  { direction: 'to-client', stanza: 'message', types: ['groupchat'], address: ['full', 'bare'] },
];

export const WATCHES: readonly Watch[] = ALL.map((watch) => ({ ...watch, when: [PLAYS] }));
