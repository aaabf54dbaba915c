import { describe, expect, it } from 'vitest';
import { account } from '../../../src/knowledge/account/account.js';
import { FakeDomain, play } from '../features/playbook.js';

describe('what a session has broadcast', () => {
  it('is nothing at first', () => {
    play(account)
      .see(({ availability, broadcast }) => {
        expect(availability.available).toBe(false);
        expect(broadcast).toBeUndefined();
      })
      .end();
  });

  it.each([
    [`<presence/>`, 0],
    [`<presence><priority>5</priority></presence>`, 5],
    [`<presence><priority> -1 </priority></presence>`, -1],
    [`<presence><priority>+7</priority></presence>`, 7],
    [`<presence><priority>300</priority></presence>`, 0],
    [`<presence><priority>high</priority></presence>`, 0],
    [`<presence><x xmlns='other'><priority>9</priority></x></presence>`, 0],
    [`<presence><priority xmlns='other'>9</priority></presence>`, 0],
  ])('%s has priority %i', (presence, priority) => {
    play(account)
      .fromClient(presence)
      .see(({ availability }) => expect(availability).toMatchObject({ available: true, priority }))
      .end();
  });

  it('is kept as it came, and ends with unavailable', () => {
    play(account)
      .fromClient(`<presence><show>away</show><status>é</status></presence>`)
      .fromClient(`<presence to='romeo@montague.lit'><status>for you</status></presence>`)
      .fromClient(`<presence to='juliet@capulet.lit' type='unavailable'/>`)
      .fromClient(`<presence type='subscribe' to='romeo@montague.lit'/>`)
      .see(({ broadcast }) =>
        expect(broadcast?.toString()).toBe(`<presence><show>away</show><status>é</status></presence>`),
      )
      .fromClient(`<presence type='unavailable'/>`)
      .see((session) => {
        expect(session.availability.available).toBe(false);
        expect(session.broadcast).toBeUndefined();
      })
      .end();
  });

  it('is available since it first said so', () => {
    play(account, { now: 10 })
      .fromClient(`<presence/>`)
      .wake(5)
      .fromClient(`<presence><show>dnd</show></presence>`)
      .see(({ availability }) => expect(availability.since).toBe(10))
      .end();
  });
});

it('knows the other sessions of the account', () => {
  const domain = new FakeDomain();
  const balcony = play(account, { domain, jid: 'juliet@capulet.lit/balcony' });
  const chamber = play(account, { domain, jid: 'Juliet@capulet.lit/chamber' });
  const nurse = play(account, { domain, jid: 'nurse@capulet.lit/kitchen' });
  chamber.fromClient(`<presence><priority>3</priority></presence>`);
  const seen = balcony.session
    .sessions()
    .map(({ identity, availability }) => [
      identity.resource,
      availability.available ? availability.priority : undefined,
    ]);
  expect(seen).toEqual([
    ['balcony', undefined],
    ['chamber', 3],
  ]);
  expect(nurse.session.sessions()).toHaveLength(1);
  for (const book of [balcony, chamber, nurse]) book.end();
});
