import { describe, expect, test } from 'vitest';
import { World } from './world.js';

describe('playing the subscriber', () => {
  test('what is said while it is away is history when it is back, once and in order', () => {
    const world = new World();
    const { server } = world;
    server.says('before');
    const phone = world.device('phone').joins().reads();
    server.says('live');
    phone.closes();
    for (let i = 1; i <= 30; i++) {
      world.clock.now += 1_000;
      server.says(`missed ${i}`);
    }
    phone.joins().reads();
    server.says('again live');
    phone.reads();
    expect(phone.shown).toEqual(server.messages.map(({ body }) => body));
    expect(server.subscribers.get('juliet@capulet.lit')).toEqual({
      nick: 'Juliet',
      nodes: ['urn:xmpp:mucsub:nodes:messages'],
    });
    expect(phone.all.filter((stanza) => String(stanza).includes('pubsub#event'))).toEqual([]);
  });
});
