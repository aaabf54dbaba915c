import { describe, expect, test } from 'vitest';
import { keysOf, Sightings } from '../../../src/session/sightings.js';
import { parseElement } from '../../../src/xml/tree.js';

const seen = (resource: string, at = 0) => ({ resource, at, isSafe: true });
const sent = (n: number) => [`sent b@example.net/x ${n} ${n}`];

describe('which device has been sent which message', () => {
  test('what a device was sent last is what is known of it', () => {
    const sightings = new Sightings();
    for (const sighting of [seen('a'), seen('b'), seen('a', 5)]) sightings.note('u', sent(1), sighting);
    expect(sightings.of('u', sent(1), 0)).toEqual([seen('b'), seen('a', 5)]);
    expect(sightings.of('other', sent(1), 0)).toEqual([]);
  });

  test('an id of the archive is of one message for ever, words may be said again', () => {
    const sightings = new Sightings();
    sightings.note('u', ['archive 7', ...sent(1)], seen('a'));
    expect(sightings.of('u', sent(1), 29_999)).toHaveLength(1);
    expect(sightings.of('u', sent(1), 30_000)).toEqual([]);
    expect(sightings.of('u', ['archive 7'], 3_000_000)).toHaveLength(1);
  });

  test('of an account the oldest goes', () => {
    const sightings = new Sightings();
    for (let n = 0; n <= 1_000; n += 1) sightings.note('u', sent(n), seen('a'));
    expect(sightings.of('u', sent(0), 0)).toEqual([]);
    expect(sightings.of('u', sent(1), 0)).toHaveLength(1);
  });

  test('of all accounts that which has had nothing for longest', () => {
    const sightings = new Sightings();
    for (let account = 0; account <= 100; account += 1) {
      for (let n = 0; n < 1_000; n += 1) sightings.note(`u${account}`, sent(n), seen('a'));
      sightings.note('u0', sent(999), seen('a'));
    }
    expect([sightings.has('u0'), sightings.has('u1'), sightings.has('u2')]).toEqual([true, false, true]);
  });

  test('of devices that come and go the last ones; and no key is larger than it need be', () => {
    const sightings = new Sightings();
    const long = [`sent b@example.net/x ${'i'.repeat(100_000)} text`];
    for (let n = 0; n < 50; n += 1) sightings.note('u', long, seen(`r${n}`));
    expect(sightings.of('u', long, 0).map(({ resource }) => resource)).toEqual(
      Array.from({ length: 16 }, (_, n) => `r${n + 34}`),
    );
  });
});

describe('what a message is known by', () => {
  const keys = (inside: string, id = '') =>
    keysOf(
      parseElement(
        Buffer.from(`<message xmlns='jabber:client' from='r@example.net'${id}>${inside}</message>`),
      ),
      'u@example.net',
    );
  const item = (name: string) => `<event xmlns='urn:example:e'><${name}/></event>`;
  const delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-11-28T12:00:00Z'/>";

  test('without an id and a text it is what is in it, but for what is put to it on its way', () => {
    expect(keys(item('one'))).not.toEqual(keys(item('two')));
    expect(keys(item('one') + delay)).toEqual(keys(item('one')));
  });

  test('with an id it is that and the text', () => {
    expect(keys(item('one'), " id='1'")).toEqual(keys(item('two'), " id='1'"));
    expect(keys('<body>a</body>', " id='1'")).not.toEqual(keys('<body>b</body>', " id='1'"));
  });
});
