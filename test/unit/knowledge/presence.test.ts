import { describe, expect, it } from 'vitest';
import { type PresenceSession, presence, presenceWithin } from '../../../src/knowledge/presence/presence.js';
import { type Playbook, play } from '../features/playbook.js';

const ROOM = 'orchard@chats.shakespeare.lit';
const SELF = `<x xmlns='http://jabber.org/protocol/muc#user'><item/><status code='110'/></x>`;
const enter = (book: Playbook<PresenceSession>) =>
  book
    .fromClient(`<presence to='${ROOM}/Juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>`)
    .fromServer(`<presence from='${ROOM}/Romeo'><x xmlns='http://jabber.org/protocol/muc#user'/></presence>`)
    .fromServer(`<presence from='${ROOM}/Juliet'>${SELF}</presence>`);

describe('the last presence of a full JID', () => {
  it('is the last that was available, byte for byte', () => {
    const last = `<presence from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><status>é "x"</status></presence>`;
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/orchard'/>`)
      .wake(500)
      .fromServer(last)
      .see((known) => {
        expect(known.latest('romeo@montague.lit/orchard')?.bytes.toString()).toBe(last);
        expect(known.latest('romeo@montague.lit/orchard')?.time).toBe(1_000_500);
        expect(known.latest('romeo@montague.lit')).toBeUndefined();
        expect(known.latest('romeo@montague.lit/mantua')).toBeUndefined();
      })
      .end();
  });

  it('is found under every spelling of the JID, but for the case of the resource', () => {
    play(presence)
      .fromServer(`<presence from='Romeo@Montague.lit/Orchard'/>`)
      .see((known) => {
        expect(known.latest('romeo@montague.LIT/Orchard')).toBeDefined();
        expect(known.latest('romeo@montague.lit/orchard')).toBeUndefined();
        expect(known.fullJidsOf('ROMEO@montague.lit')).toEqual(['romeo@montague.lit/Orchard']);
      })
      .end();
  });

  it('is gone with unavailable, of the resource or of all of them', () => {
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .fromServer(`<presence from='romeo@montague.lit/b'/>`)
      .fromServer(`<presence from='romeo@montague.lit/c'/>`)
      .fromServer(`<presence from='romeo@montague.lit/b' type='unavailable'/>`)
      .see((known) =>
        expect(known.fullJidsOf('romeo@montague.lit')).toEqual([
          'romeo@montague.lit/a',
          'romeo@montague.lit/c',
        ]),
      )
      .fromServer(`<presence from='romeo@montague.lit' type='unavailable'/>`)
      .see((known) => {
        expect(known.fullJidsOf('romeo@montague.lit')).toEqual([]);
        expect(known.bytes).toBe(0);
      })
      .end();
  });

  it('stays when an error, a subscription or something that is no JID comes', () => {
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .fromServer(
        `<presence from='romeo@montague.lit/a' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`,
      )
      .fromServer(`<presence from='romeo@montague.lit' type='unsubscribed'/>`)
      .fromServer(`<presence from='romeo@montague.lit/a' type='probe'/>`)
      .fromServer(`<presence from='romeo@'/>`)
      .fromServer(`<presence/>`)
      .see((known) => {
        const all: string[] = [];
        known.forEach((jid) => {
          all.push(jid);
        });
        expect(all).toEqual(['romeo@montague.lit/a']);
      })
      .end();
  });

  it('tells the domains that presence came from', () => {
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .fromServer(`<presence from='benvolio@montague.lit/b'/>`)
      .fromServer(`<presence from='nurse@capulet.lit/c'/>`)
      .see((known) => expect([...known.domains()]).toEqual(['montague.lit', 'capulet.lit']))
      .end();
  });
});

describe('what is no longer heard of', () => {
  it('is forgotten when the client goes unavailable for everybody', () => {
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .fromClient(`<presence type='unavailable' to='romeo@montague.lit'/>`)
      .fromClient(`<presence type='unavailable' to='juliet@capulet.lit'/>`)
      .see((known) => expect(known.domains().size).toBe(1))
      .fromClient(`<presence type='unavailable'/>`)
      .see((known) => expect(known.domains().size).toBe(0))
      .end();
  });

  it('is forgotten with the room it was in', () => {
    enter(play(presence))
      .see((known) => expect(known.fullJidsOf(ROOM)).toEqual([`${ROOM}/Romeo`, `${ROOM}/Juliet`]))
      .fromServer(
        `<presence from='${ROOM}/Juliet' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/><status code='307'/></x></presence>`,
      )
      .see((known) => expect(known.fullJidsOf(ROOM)).toEqual([]))
      .end();
  });
});

describe('the budget', () => {
  const contact = (n: number) =>
    `<presence from='c${n}@montague.lit/x'><status>${'s'.repeat(400)}</status></presence>`;
  const occupant = (n: number) =>
    `<presence from='${ROOM}/o${n}'><status>${'s'.repeat(400)}</status></presence>`;

  it('drops who has been silent longest', () => {
    const book = play(presenceWithin(10_000));
    for (let n = 0; n < 8; n++) book.fromServer(contact(n));
    book.fromServer(contact(0));
    for (let n = 8; n < 12; n++) book.fromServer(contact(n));
    book
      .see((known) => {
        expect(known.bytes).toBeLessThanOrEqual(10_000);
        expect(known.evicted).toBeGreaterThan(0);
        expect(known.latest('c0@montague.lit/x')).toBeDefined();
        expect(known.latest('c1@montague.lit/x')).toBeUndefined();
        expect(known.latest('c11@montague.lit/x')).toBeDefined();
      })
      .end();
  });

  it('is not used up by one room', () => {
    const book = play(presenceWithin(20_000));
    for (let n = 0; n < 10; n++) book.fromServer(contact(n));
    for (let n = 0; n < 1_000; n++) book.fromServer(occupant(n));
    book
      .see((known) => {
        expect(known.bytes).toBeLessThanOrEqual(20_000);
        expect(known.latest('c0@montague.lit/x')).toBeDefined();
        expect(known.latest(`${ROOM}/o999`)).toBeDefined();
        expect(known.latest(`${ROOM}/o0`)).toBeUndefined();
      })
      .end();
  });

  it('counts back to nothing', () => {
    const book = play(presenceWithin(1_000_000));
    for (let n = 0; n < 50; n++) book.fromServer(contact(n)).fromServer(occupant(n));
    for (let n = 0; n < 50; n++)
      book
        .fromServer(`<presence type='unavailable' from='c${n}@montague.lit/x'/>`)
        .fromServer(`<presence type='unavailable' from='${ROOM}/o${n}'/>`);
    book.see((known) => expect(known.bytes).toBe(0)).end();
  });

  it('does not take in what is larger than all of it', () => {
    play(presenceWithin(300))
      .fromServer(contact(1))
      .see((known) => expect([known.bytes, known.latest('c1@montague.lit/x')]).toEqual([0, undefined]))
      .end();
  });
});

describe('the mark of a presence', () => {
  it('is noted with it, and gone with it', () => {
    play(presence)
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .fromServer(`<presence from='romeo@montague.lit/b'/>`)
      .see((known) => {
        expect(known.markOf('romeo@montague.lit/a')).toBe(0);
        expect(known.markOf('romeo@montague.lit/c')).toBeUndefined();
        known.mark('Romeo@montague.lit/a', 3);
        known.mark('romeo@montague.lit/c', 3);
        expect([...known.marks()]).toEqual([
          ['romeo@montague.lit', 'a', 3],
          ['romeo@montague.lit', 'b', 0],
        ]);
      })
      .fromServer(`<presence from='romeo@montague.lit/a'/>`)
      .see((known) => {
        expect(known.markOf('romeo@montague.lit/a')).toBe(0);
        known.forget('romeo@montague.lit/b');
        expect(known.latest('romeo@montague.lit/b')).toBeUndefined();
        expect(known.fullJidsOf('romeo@montague.lit')).toEqual(['romeo@montague.lit/a']);
      })
      .end();
  });

  it('can be looked through in pieces while presences come and go', () => {
    const book = play(presence);
    for (const nick of ['a', 'b', 'c', 'd']) book.fromServer(`<presence from='${nick}@montague.lit/r'/>`);
    book.see((known) => {
      const marks = known.marks();
      marks.next();
      known.forget('b@montague.lit/r');
      known.forget('c@montague.lit/r');
      expect([...marks]).toEqual([['d@montague.lit', 'r', 0]]);
    });
    book.end();
  });
});

it('annotations (XEP-0310) are no part of a presence', () => {
  const bare = `<presence from='romeo@montague.lit/a'><show>away</show></presence>`;
  play(presence)
    .fromServer(
      bare
        .replace('<show>', `<state-annotation xmlns='urn:xmpp:psa' from='x'/><show>`)
        .replace(
          '</presence>',
          `<state-annotation xmlns='urn:xmpp:psa' from='y'><a/></state-annotation></presence>`,
        ),
    )
    .see((known) => expect(known.latest('romeo@montague.lit/a')?.bytes.toString()).toBe(bare))
    .end();
});
