import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, wrap } from '../../../../src/features/mucsub/events.js';
import { Affiliations } from '../../../../src/features/mucsub/observer/affiliations.js';
import { Template } from '../../../../src/features/mucsub/template.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { parseElement } from '../../../../src/xml/tree.js';

const ROOM = 'party@chats.capulet.lit';
const made = (account: string) =>
  wrap({ room: ROOM, account, event: 'messages', id: 'i' }, Buffer.from('<message>é</message>'));

describe('a template', () => {
  it('property: written for somebody it is what would have been made for him', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (account) => {
        const template = new Template(made('an-unguessable-marker'), 'an-unguessable-marker');
        expect(template.for(addressBytes(account))).toEqual(made(account));
      }),
    );
  });
});

describe('affiliations', () => {
  const item = (jid: string, affiliation: string) =>
    parseElement(Buffer.from(`<item jid='${jid}' affiliation='${affiliation}'/>`));
  const list = (...items: string[]) =>
    parseElement(Buffer.from(`<iq><query xmlns='${NS.mucAdmin}'>${items.join('')}</query></iq>`));

  it('are those of accounts, whatever resource they are said of, and follow what is said', () => {
    const all = new Affiliations();
    all.read(list("<item jid='Olga@capulet.lit' affiliation='owner'/>"));
    expect(all.take(item('sam@capulet.lit/phone', 'member'))).toBe('sam@capulet.lit');
    expect([all.of('olga@capulet.lit'), all.of('sam@capulet.lit'), all.of('bob@capulet.lit')]).toEqual([
      'owner',
      'member',
      'none',
    ]);
    all.take(item('sam@capulet.lit', 'none'));
    expect(all.of('sam@capulet.lit')).toBe('none');
  });

  it('a domain that is kept out keeps out all of its accounts but those that are something themselves', () => {
    const all = new Affiliations();
    all.take(item('evil.example', 'outcast'));
    all.take(item('good@evil.example', 'member'));
    expect([all.of('bad@evil.example'), all.of('good@evil.example')]).toEqual(['outcast', 'member']);
  });

  it('beyond 20,000 it is not known who may hear the room', () => {
    const all = new Affiliations();
    for (let n = 0; n < 20_000; n++) all.take(item(`a${n}@capulet.lit`, 'member'));
    expect(all.isTooLong).toBe(false);
    all.take(item('one-more@capulet.lit', 'outcast'));
    expect(all.isTooLong).toBe(true);
  });
});
