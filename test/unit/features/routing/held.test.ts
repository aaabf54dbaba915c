import { expect, test } from 'vitest';
import { routing } from '../../../../src/features/routing/routing.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { Playbook } from '../../session/playbook.js';
import { isOver } from '../../session/resumable.js';

const ENABLE = `<enable xmlns='${NS.sm3}' resume='true'/>`;
const TWO = `<xmpp-2 xmlns='${NS.xmpp2}'/>`;
const BIND = `<bind xmlns='${NS.bind}'/>`;
const forAll = `<message from='b@example.net/x' to='a@example.org' id='m1' type='chat'><body>hi</body>${TWO}</message>`;

/** A device behind a server that refuses to make copies. */
function device(name: string, priority: number, others: { readonly with?: Playbook } = {}): Playbook {
  const play = new Playbook({
    ...others,
    features: [routing],
    hold: { seconds: 300 },
    ids: ['copies', 'again'],
  });
  play.bound({ features: BIND, jid: `a@example.org/${name}` });
  play.client(`<presence><priority>${priority}</priority></presence>`);
  play.server(
    `<iq type='error' id='copies' from='a@example.org' to='a@example.org/${name}'><error type='cancel'/></iq>`,
  );
  play.loaded().sendsOnly();
  play.takeSent('server');
  return play;
}

test('a copy waits for a device that is held, and what another has had by a copy it is not given again from the store', () => {
  const desk = device('desk', 5);
  const tablet = device('tablet', 0, { with: desk });
  const phone = device('phone', 0, { with: desk });
  phone.client(ENABLE).takeSent('client');
  phone.lost('client').sendsOnly();

  desk.server(forAll).toClient(forAll);
  desk.passesOnTo(tablet, phone);
  tablet.toClient(forAll);
  expect(phone.takeSent('client')).toBe('');

  // Its server would have forgotten it: it is in the store at once.
  phone.commands('store secured +').stored();

  // It does not come back: the message is for the account's next session.
  isOver(phone.stored().passes(301).stored()).takeSent('server');
  phone.takeSent('client');
  const [stored] = phone.inStore.values();
  expect(phone.inStore.size).toBe(1);
  expect(JSON.parse(String(stored)).seenBy.toSorted()).toEqual(['desk', 'tablet']);
  for (const play of [desk, tablet, phone]) play.sendsOnly().done();

  const again = device('tablet', 0, { with: desk });
  expect(again.takeSent('client')).toBe('');
  again.sendsOnly().done();
  const laptop = device('laptop', 0, { with: desk });
  expect(laptop.takeSent('client')).toContain('<body>hi</body>');
  laptop.sendsOnly().done();
});
