import type { Watch } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';

/** What each watch is for; the first that fits is the one. */
export enum On {
  Request,
  ClientPresence,
  Broadcast,
  Said,
  Whispered,
  Invites,
  OwnerForm,
  SelfPing,
  RoomMessage,
  RoomPresence,
  OccupantAsks,
  RoomAnswers,
  Archive,
  OwnArchive,
}

export const WATCHES: readonly Watch[] = [
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mucsub },
    address: ['bare', 'domain'],
  },
  { direction: 'to-server', stanza: 'presence', types: ['', 'unavailable'], address: ['full'] },
  { direction: 'to-server', stanza: 'presence', types: ['', 'unavailable'], address: ['account'] },
  { direction: 'to-server', stanza: 'message', types: ['groupchat'], address: ['bare'] },
  { direction: 'to-server', stanza: 'message', types: ['chat', 'normal', ''], address: ['full'] },
  { direction: 'to-server', stanza: 'message', types: ['chat', 'normal', ''], address: ['bare'] },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mucOwner },
    address: ['bare'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get'],
    child: { namespace: NS.ping, name: 'ping' },
    address: ['full'],
  },
  { direction: 'to-client', stanza: 'message', address: ['bare', 'full'] },
  {
    direction: 'to-client',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['bare', 'full'],
  },
  { direction: 'to-client', stanza: 'iq', types: ['get', 'set'], address: ['full'] },
  { direction: 'to-client', stanza: 'iq', types: ['result', 'error'], address: ['bare'] },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mam2, name: 'query' },
    address: ['bare'],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.mam2, name: 'query' },
    address: ['account'],
  },
];
