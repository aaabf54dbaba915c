import type { Watch } from '../../session/feature.js';
import { Interest } from '../../session/interests.js';
import { NS } from '../../xml/namespaces.js';

/** What each watch is for; the first that fits is the one. */
export enum On {
  Request,
  ClientPresence,
  Broadcast,
  Bounced,
  Said,
  Whispered,
  Invites,
  OwnerForm,
  RoleChange,
  AsksOccupant,
  RoomRefuses,
  RoomMessage,
  RoomPresence,
  OccupantAsks,
  RoomSaysItsOccupants,
  RoomSaysItself,
  RoomListsRoles,
  RoomAnswers,
  Archive,
  OwnArchive,
}

/** The account has subscribed to something, or asks to be, or was in a room without its client when the process before ended. */
export const SUBSCRIBES = new Interest('the account subscribes to rooms');
/** Somebody of the domain has subscribed to something. */
export const SUBSCRIBERS = new Interest('accounts of the domain subscribe to rooms');
/** The client is entering a room that may not say when it is in. */
export const ENTERS = new Interest('the client enters a room');
/** The client has asked a room for its configuration. */
export const CONFIGURES = new Interest('the client configures rooms');

export const WATCHES: readonly Watch[] = [
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mucsub },
    address: ['bare', 'domain'],
  },
  {
    direction: 'to-server',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['full', 'bare'],
  },
  { direction: 'to-server', stanza: 'presence', types: ['', 'unavailable'], address: ['account'] },
  {
    direction: 'to-server',
    stanza: 'message',
    types: ['error'],
    address: ['bare', 'full'],
    when: [SUBSCRIBES],
  },
  { direction: 'to-server', stanza: 'message', types: ['groupchat'], address: ['bare'], when: [SUBSCRIBES] },
  {
    direction: 'to-server',
    stanza: 'message',
    types: ['chat', 'normal', ''],
    address: ['full'],
    when: [SUBSCRIBES],
  },
  {
    direction: 'to-server',
    stanza: 'message',
    types: ['chat', 'normal', ''],
    address: ['bare'],
    when: [SUBSCRIBES],
  },
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
    types: ['set'],
    child: { namespace: NS.mucAdmin, name: 'query' },
    address: ['bare'],
    when: [SUBSCRIBERS],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    address: ['full'],
    when: [SUBSCRIBES],
  },
  { direction: 'to-client', stanza: 'message', types: ['error'], address: ['bare'] },
  { direction: 'to-client', stanza: 'message', address: ['bare', 'full'], when: [SUBSCRIBES, ENTERS] },
  {
    direction: 'to-client',
    stanza: 'presence',
    types: ['', 'unavailable', 'error'],
    address: ['bare', 'full'],
  },
  { direction: 'to-client', stanza: 'iq', types: ['get', 'set'], address: ['full'], when: [SUBSCRIBES] },
  ...[{ namespace: NS.discoItems }, { namespace: NS.discoInfo }, { namespace: NS.mucAdmin }].map(
    (child): Watch => ({
      ...{ direction: 'to-client', stanza: 'iq', types: ['result'], child, address: ['bare'] },
      when: [SUBSCRIBERS],
    }),
  ),
  { direction: 'to-client', stanza: 'iq', types: ['result', 'error'], address: ['bare'], when: [CONFIGURES] },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['get', 'set'],
    child: { namespace: NS.mam2, name: 'query' },
    address: ['bare'],
    when: [SUBSCRIBES],
  },
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.mam2, name: 'query' },
    address: ['account'],
    when: [SUBSCRIBES],
  },
];
