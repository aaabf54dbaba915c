import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { Doubts } from '../../../src/session/doubts.js';
import { messageKeys } from '../../../src/session/sightings.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';

const ACCOUNT = 'juliet@capulet.lit';
const ROOM = 'party@chats.capulet.lit';

function stanza(xml: string): Frame {
  const frame = parseStanza(Buffer.from(xml), new NamespaceTable([...Object.values(NS)]));
  if (!(frame instanceof Frame)) throw new Error(frame.reason);
  return frame;
}

/** A room's event of something that olga has said: with the id that it has in the room's archive. */
const said = (archive: string) =>
  stanza(
    `<message from='${ROOM}' to='${ACCOUNT}' id='${archive}'><event xmlns='${NS.pubsubEvent}'><items node='urn:xmpp:mucsub:nodes:messages'>` +
      `<item id='${archive}'><message xmlns='${NS.client}' type='groupchat' from='${ROOM}/olga' to='${ACCOUNT}' id='m1'><body>yes</body>` +
      `<stanza-id xmlns='${NS.sid}' by='${ROOM}' id='${archive}'/></message></item></items></event></message>`,
  );

test('what somebody says again in a room, under the same id, is not what a client has had out of the store', () => {
  const doubts = new Doubts();
  const known = { keys: messageKeys(said('a1'), ACCOUNT), stored: 'place', resource: 'balcony' };
  doubts.note(ACCOUNT, known, true, 0);
  expect(doubts.takes(ACCOUNT, said('a2'), 'balcony', false)).toBeUndefined();
  expect(doubts.takes(ACCOUNT, said('a1'), 'balcony', false)).toMatchObject({ stored: 'place', given: true });
  expect(doubts.takes(ACCOUNT, said('a1'), 'balcony', false)).toBeUndefined();
});
