import { describe, expect, it } from 'vitest';
import {
  type CapabilitiesSession,
  capabilitiesWith,
  OPEN_QUESTIONS,
} from '../../../src/knowledge/capabilities/capabilities.js';
import { VerifiedCapabilities } from '../../../src/knowledge/capabilities/shared.js';
import { FakeDomain, type Playbook, play } from '../features/playbook.js';
import { disco, EXODUS, EXODUS_VER, featureList, TKABBER, TKABBER_SHA256 } from './disco.js';

const MUC = 'http://jabber.org/protocol/muc';
const NODE = `http://exodus.lit/#${EXODUS_VER}`;
const caps = (ver = EXODUS_VER, hash = `hash='sha-1' `) =>
  `<c xmlns='http://jabber.org/protocol/caps' ${hash}node='http://exodus.lit/' ver='${ver}'/>`;
const from = (jid: string, c = caps()) => `<presence from='${jid}'>${c}</presence>`;
const question = (node = NODE) => `<query xmlns='http://jabber.org/protocol/disco#info' node='${node}'/>`;
const EVIL = disco(`<identity category='client' type='pc'/>${featureList('evil')}`);

const open = (scene: { domain?: FakeDomain; jid?: string; verified?: VerifiedCapabilities } = {}) =>
  play(capabilitiesWith(scene.verified ?? new VerifiedCapabilities()), scene);

/** Asks for the features of a JID, and keeps what comes. */
function want(book: Playbook<CapabilitiesSession>, jid: string): { features: (string[] | undefined)[] } {
  const answers: { features: (string[] | undefined)[] } = { features: [] };
  book.see((known) => known.want(jid, (features) => answers.features.push(features && [...features])));
  return answers;
}

describe('the features of a JID', () => {
  it('are asked for when somebody wants them, by node and hash', () => {
    const book = open()
      .fromServer(from('romeo@montague.lit/orchard'))
      .see((known) => expect(known.featuresOf('romeo@montague.lit/orchard')).toBe('unknown'));
    book.session.want('Romeo@montague.lit/orchard', (features) => expect(features?.has(MUC)).toBe(true));
    book
      .expectRequest('romeo@montague.lit/orchard', question())
      .answerIq('romeo@montague.lit/orchard', disco(EXODUS))
      .see((known) => {
        expect(known.has('romeo@montague.lit/orchard', MUC)).toBe(true);
        expect(known.has('romeo@montague.lit/orchard', 'urn:xmpp:psa')).toBe(false);
      })
      .end();
    expect.assertions(4);
  });

  it('hold for everybody who announces the verified hash, without asking again', () => {
    const book = open().fromServer(from('romeo@montague.lit/a'));
    want(book, 'romeo@montague.lit/a');
    book
      .expectRequest('romeo@montague.lit/a', question())
      .answerIq('romeo@montague.lit/a', disco(EXODUS))
      .fromServer(from('nurse@capulet.lit/b'))
      .see((known) => expect(known.has('nurse@capulet.lit/b', MUC)).toBe(true))
      .end();
  });

  it('are undefined for who announces nothing, and nobody is asked', () => {
    const book = open().fromServer(`<presence from='romeo@montague.lit/a'/>`);
    expect(want(book, 'romeo@montague.lit/a').features).toEqual([undefined]);
    book.see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBeUndefined()).end();
  });

  it('are those of the new announcement once there is one, and gone with the JID', () => {
    const book = open().fromServer(from('romeo@montague.lit/a'));
    want(book, 'romeo@montague.lit/a');
    book
      .expectRequest('romeo@montague.lit/a', question())
      .answerIq('romeo@montague.lit/a', disco(EXODUS))
      .fromServer(`<presence from='romeo@montague.lit/a'><show>away</show></presence>`)
      .see((known) => expect(known.has('romeo@montague.lit/a', MUC)).toBe(true))
      .fromServer(from('romeo@montague.lit/a', caps('AAAA')))
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBe('unknown'))
      .fromServer(`<presence from='romeo@montague.lit/a' type='unavailable'/>`)
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBeUndefined())
      .fromServer(from('romeo@montague.lit/a'))
      .fromServer(`<presence from='romeo@montague.lit' type='unavailable'/>`)
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBeUndefined())
      .fromServer(from('romeo@montague.lit/a'))
      .fromClient(`<presence type='unavailable'/>`)
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBeUndefined())
      .end();
  });

  it('of the own client are asked for on its own leg', () => {
    const book = open().fromClient(`<presence>${caps()}</presence>`);
    const answers = want(book, 'juliet@capulet.lit/balcony');
    book.expectRequest('client', question()).answerIq('client', disco(EXODUS)).end();
    expect(answers.features[0]).toContain(MUC);
  });

  it('of capabilities 2.0 are verified by the best hash (XEP-0390), and serve the old announcement too', () => {
    const two = `<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>x</hash><hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=</hash><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>${TKABBER_SHA256}</hash></c>`;
    const book = open().fromServer(from('romeo@montague.lit/a', two));
    want(book, 'romeo@montague.lit/a');
    book
      .expectRequest('romeo@montague.lit/a', question(`urn:xmpp:caps#sha-256.${TKABBER_SHA256}`))
      .answerIq('romeo@montague.lit/a', disco(TKABBER))
      .fromServer(
        from(
          'nurse@capulet.lit/b',
          `<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=</hash></c>`,
        ),
      )
      .see((known) => expect(known.has('nurse@capulet.lit/b', 'urn:xmpp:ping')).toBe(true))
      .end();
  });
});

describe('poisoning', () => {
  it('an answer without the hash counts for who gave it, and the next one with the hash is asked', () => {
    const book = open().fromServer(from('tybalt@capulet.lit/evil')).fromServer(from('romeo@montague.lit/a'));
    want(book, 'tybalt@capulet.lit/evil');
    book.expectRequest('tybalt@capulet.lit/evil', question());
    const romeo = want(book, 'romeo@montague.lit/a');
    book
      .answerIq('tybalt@capulet.lit/evil', EVIL)
      .expectRequest('romeo@montague.lit/a', question())
      .see((known) => {
        expect(known.has('tybalt@capulet.lit/evil', 'evil')).toBe(true);
        expect(known.featuresOf('romeo@montague.lit/a')).toBe('unknown');
      })
      .answerIq('romeo@montague.lit/a', disco(EXODUS))
      .see((known) => {
        expect(known.has('romeo@montague.lit/a', MUC)).toBe(true);
        expect(known.has('romeo@montague.lit/a', 'evil')).toBe(false);
        expect(known.has('tybalt@capulet.lit/evil', 'evil')).toBe(true);
      })
      .end();
    expect(romeo.features).toHaveLength(1);
  });

  it('an answer without the hash never reaches another session', () => {
    const verified = new VerifiedCapabilities();
    const domain = new FakeDomain();
    const one = open({ verified, domain }).fromServer(from('tybalt@capulet.lit/evil'));
    const other = open({ verified, domain, jid: 'nurse@capulet.lit/b' })
      .fromServer(from('tybalt@capulet.lit/evil'))
      .fromServer(from('romeo@montague.lit/a'));
    want(one, 'tybalt@capulet.lit/evil');
    one.expectRequest('tybalt@capulet.lit/evil', question()).answerIq('tybalt@capulet.lit/evil', EVIL).end();
    other
      .see((known) => {
        expect(known.featuresOf('tybalt@capulet.lit/evil')).toBe('unknown');
        expect(known.featuresOf('romeo@montague.lit/a')).toBe('unknown');
      })
      .end();
  });

  it.each([
    ['of the legacy format', ''],
    ['with a hash function that is unknown', `hash='rot13' `],
    ['with a hash function that is no good', `hash='md5' `],
  ])('an announcement %s lets nobody speak for others', (_, hash) => {
    const book = open()
      .fromServer(from('tybalt@capulet.lit/evil', caps('0.9', hash)))
      .fromServer(from('romeo@montague.lit/a', caps('0.9', hash)));
    want(book, 'tybalt@capulet.lit/evil');
    book
      .expectRequest('tybalt@capulet.lit/evil', question('http://exodus.lit/#0.9'))
      .answerIq('tybalt@capulet.lit/evil', EVIL)
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBe('unknown'))
      .end();
  });

  it('features cannot be hidden from everybody by telling them as a form or as identities', () => {
    const asForm = `<identity category='client' type='pc' name='Exodus 0.9.1'/>${featureList('http://jabber.org/protocol/caps', 'http://jabber.org/protocol/disco#info')}<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/disco#items</value></field><field var='${MUC}'/></x>`;
    const book = open().fromServer(from('tybalt@capulet.lit/evil')).fromServer(from('romeo@montague.lit/a'));
    want(book, 'tybalt@capulet.lit/evil');
    book
      .expectRequest('tybalt@capulet.lit/evil', question())
      .answerIq('tybalt@capulet.lit/evil', disco(asForm))
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBe('unknown'))
      .end();
  });
});

describe('questions', () => {
  it('are asked once for a hash, however many announce it', () => {
    const book = open();
    const answers = Array.from({ length: 20 }, (_, n) => {
      book.fromServer(from(`c${n}@montague.lit/x`));
      const wanted = want(book, `c${n}@montague.lit/x`);
      if (n === 0) book.expectRequest('c0@montague.lit/x', question());
      return wanted;
    });
    book.answerIq('c0@montague.lit/x', disco(EXODUS)).end();
    for (const { features } of answers) expect(features[0]).toContain(MUC);
  });

  it('that fail are put to the next, and not to the same one for some time', () => {
    const book = open().fromServer(from('a@montague.lit/x')).fromServer(from('b@montague.lit/x'));
    const a = want(book, 'a@montague.lit/x');
    book.expectRequest('a@montague.lit/x', question());
    want(book, 'b@montague.lit/x');
    book
      .answerIq('a@montague.lit/x', 'timeout')
      .expectRequest('b@montague.lit/x', question())
      .answerIq('b@montague.lit/x', { error: 'item-not-found' });
    expect(a.features).toEqual([undefined]);
    expect(want(book, 'a@montague.lit/x').features).toEqual([undefined]);
    book.wake(10 * 60_000);
    want(book, 'a@montague.lit/x');
    book.expectRequest('a@montague.lit/x', question()).answerIq('a@montague.lit/x', disco(EXODUS)).end();
  });

  it('are asked a few at a time', () => {
    const book = open();
    for (let n = 0; n < OPEN_QUESTIONS + 2; n++) {
      const ver = `AAA${n}`;
      book.fromServer(from(`c${n}@montague.lit/x`, caps(ver)));
      want(book, `c${n}@montague.lit/x`);
      if (n < OPEN_QUESTIONS)
        book.expectRequest(`c${n}@montague.lit/x`, question(`http://exodus.lit/#${ver}`));
    }
    book
      .answerIq('c0@montague.lit/x', 'timeout')
      .expectRequest(`c${OPEN_QUESTIONS}@montague.lit/x`, question(`http://exodus.lit/#AAA${OPEN_QUESTIONS}`))
      .answerIq('c1@montague.lit/x', 'timeout')
      .expectRequest(
        `c${OPEN_QUESTIONS + 1}@montague.lit/x`,
        question(`http://exodus.lit/#AAA${OPEN_QUESTIONS + 1}`),
      );
    for (let n = 2; n < OPEN_QUESTIONS + 2; n++) book.answerIq(`c${n}@montague.lit/x`, 'leg-lost');
    book.end();
  });

  it('are asked by one session of many', () => {
    const verified = new VerifiedCapabilities();
    const domain = new FakeDomain();
    const scene = { verified, domain };
    const juliet = open({ ...scene, jid: 'juliet@capulet.lit/a' }).fromClient(
      `<presence>${caps()}</presence>`,
    );
    const nurse = open({ ...scene, jid: 'nurse@capulet.lit/b' }).fromClient(`<presence>${caps()}</presence>`);
    want(juliet, 'juliet@capulet.lit/a');
    juliet.expectRequest('client', question());
    const answer = want(nurse, 'nurse@capulet.lit/b');
    nurse.see(() => expect(answer.features).toEqual([]));
    juliet.answerIq('client', disco(EXODUS)).end();
    nurse.wake(0).see(() => expect(answer.features[0]).toContain(MUC));
    nurse.end();
  });

  it('are taken over when the session that asked is gone, told or not', () => {
    for (const silently of [false, true]) {
      const scene = { verified: new VerifiedCapabilities(), domain: new FakeDomain() };
      const juliet = open(scene).fromServer(from('romeo@montague.lit/a'));
      const nurse = open({ ...scene, jid: 'nurse@capulet.lit/b' }).fromServer(from('romeo@montague.lit/a'));
      want(juliet, 'romeo@montague.lit/a');
      juliet.expectRequest('romeo@montague.lit/a', question());
      want(nurse, 'romeo@montague.lit/a');
      if (!silently) juliet.answerIq('romeo@montague.lit/a', 'leg-lost').end();
      nurse
        .wake(silently ? 20_000 : 0)
        .expectRequest('romeo@montague.lit/a', question())
        .answerIq('romeo@montague.lit/a', disco(EXODUS))
        .end();
      if (silently) juliet.answerIq('romeo@montague.lit/a', 'leg-lost').end();
    }
  });

  it('are answered with nothing when the JID goes away meanwhile', () => {
    const book = open().fromServer(from('romeo@montague.lit/a'));
    const answer = want(book, 'romeo@montague.lit/a');
    book
      .expectRequest('romeo@montague.lit/a', question())
      .fromServer(`<presence from='romeo@montague.lit/a' type='unavailable'/>`)
      .see(() => expect(answer.features).toEqual([undefined]))
      .answerIq('romeo@montague.lit/a', disco(EXODUS))
      .end();
    expect(answer.features).toHaveLength(1);
  });
});

describe('what is kept', () => {
  it('is no answer of a size that no client has', () => {
    const book = open().fromServer(from('tybalt@capulet.lit/evil'));
    const many = Array.from({ length: 1_001 }, (_, n) => `f${n}`);
    const answer = want(book, 'tybalt@capulet.lit/evil');
    book
      .expectRequest('tybalt@capulet.lit/evil', question())
      .answerIq('tybalt@capulet.lit/evil', disco(featureList(...many)))
      .see(() => expect(answer.features).toEqual([undefined]))
      .end();
  });

  it('is what fits the budget of verified answers', () => {
    const book = open({ verified: new VerifiedCapabilities(100) }).fromServer(from('romeo@montague.lit/a'));
    want(book, 'romeo@montague.lit/a');
    book
      .expectRequest('romeo@montague.lit/a', question())
      .answerIq('romeo@montague.lit/a', disco(EXODUS))
      .fromServer(from('nurse@capulet.lit/b'))
      .see((known) => {
        expect(known.has('romeo@montague.lit/a', MUC)).toBe(true);
        expect(known.featuresOf('nurse@capulet.lit/b')).toBe('unknown');
      })
      .end();
  });

  it.each([
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='x'/>`,
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x'/>`,
    `<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x' ver='${'A'.repeat(200)}'/>`,
    `<c xmlns='urn:xmpp:caps'/>`,
    `<c xmlns='urn:xmpp:caps'><hash algo='sha-256'>x</hash></c>`,
  ])('is nothing of an announcement that is none: %s', (c) => {
    open()
      .fromServer(from('romeo@montague.lit/a', c))
      .see((known) => expect(known.featuresOf('romeo@montague.lit/a')).toBeUndefined())
      .end();
  });
});
