import { parse } from 'ltx';
import { describe, expect, it } from 'vitest';
import {
  digest,
  featuresIn,
  hashInput,
  isSupportedHash,
  verificationString,
} from '../../../src/knowledge/capabilities/verification.js';
import { disco, EXODUS, FORM, PSI, TKABBER } from './disco.js';

const caps1 = (children: string) => {
  const input = verificationString(parse(disco(children)));
  return input === undefined ? undefined : digest('sha-1', input);
};
const caps2 = (children: string, algorithm = 'sha-256', language = '') => {
  const input = hashInput(parse(disco(children)), language);
  return input === undefined ? undefined : digest(algorithm, input);
};

describe('the verification string (XEP-0115 §5)', () => {
  it('hashes the simple example of §5.2', () => {
    expect(caps1(EXODUS)).toBe('QgayPKawpkPSDYmwT/WM94uAlu0=');
  });

  it('hashes the complex example of §5.3, with languages and a form', () => {
    expect(caps1(PSI)).toBe('q07IKJEyjvHSyhy//CH0CxmKi8w=');
  });

  it('does not depend on the order of anything', () => {
    const lines = PSI.split('\n');
    const form = FORM(`<field var='b'><value>2</value><value>1</value></field><field var='a'/>`);
    const turned = FORM(`<field var='a'/><field var='b'><value>1</value><value>2</value></field>`);
    expect(caps1(lines.reverse().join(''))).toBe('q07IKJEyjvHSyhy//CH0CxmKi8w=');
    expect(caps1(EXODUS + turned)).toBe(caps1(EXODUS + form));
  });

  it('sorts by octets, not by UTF-16: U+1F600 comes after U+FF5E', () => {
    const query = parse(
      disco(`<identity category='c' type='t'/><feature var='&#x1F600;'/><feature var='～'/>`),
    );
    expect(verificationString(query)?.toString()).toBe('c/t//<～<\u{1f600}<');
  });

  it('sorts identities part by part', () => {
    const query = parse(disco(`<identity category='a-b' type='t'/><identity category='a' type='t'/>`));
    expect(verificationString(query)?.toString()).toBe('a/t//<a-b/t//<');
  });

  it('does not count a form without a hidden FORM_TYPE (§5.4 3.6)', () => {
    const open = `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>x</value></field></x>`;
    const none = `<x xmlns='jabber:x:data' type='result'><field var='os'><value>Mac</value></field></x>`;
    expect(caps1(EXODUS + open)).toBe(caps1(EXODUS));
    expect(caps1(EXODUS + none)).toBe(caps1(EXODUS));
  });

  it.each([
    ['an identity twice', `<identity category='client' type='pc' name='Exodus 0.9.1'/>`],
    ['a feature twice', `<feature var='http://jabber.org/protocol/muc'/>`],
    ['two forms of one FORM_TYPE', FORM('<field var="a"/>') + FORM('<field var="b"/>')],
    [
      'a FORM_TYPE of two values',
      `<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'><value>a</value><value>b</value></field></x>`,
    ],
  ])('refuses %s (§5.4)', (_, more) => {
    expect(caps1(EXODUS + more)).toBeUndefined();
  });

  it.each([
    ['two features in one', `<feature var='a&lt;b'/>`],
    ['a separator in a name', `<identity category='client' type='bot' name='a&lt;b'/>`],
    [
      'the feature http://jabber.org/protocol/muc as an identity',
      `<identity category='http:' type='' xml:lang='jabber.org' name='protocol/x'/>`,
    ],
    ['the last feature as a FORM_TYPE', FORM('', 'urn:xmpp:psa')],
    ['the last features as a form', FORM(`<field var='urn:xmpp:ping'/>`, 'urn:xmpp:jingle:1')],
  ])('refuses what could be made to look like something else: %s', (_, more) => {
    expect(caps1(EXODUS + more)).toBeUndefined();
  });

  it('refuses an answer without identity', () => {
    expect(caps1(`<feature var='client/pc//Exodus 0.9.1'/><feature var='a'/>`)).toBeUndefined();
  });
});

describe('the hash input of entity capabilities 2.0 (XEP-0390 §4)', () => {
  it('hashes the complex example of §4.5.2', () => {
    expect(caps2(TKABBER)).toBe('u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=');
    expect(caps2(TKABBER, 'sha3-256')).toBe('XpUJzLAc93258sMECZ3FJpebkzuyNXDzRNwQog8eycg=');
  });

  it('ends features, identities and extensions each', () => {
    const query = parse(disco(`<identity category='a' type='b'/><feature var='g'/><feature var='f'/>`));
    expect(hashInput(query, '')?.toString()).toBe('f\x1fg\x1f\x1ca\x1fb\x1f\x1f\x1f\x1e\x1c\x1c');
  });

  it('takes the language in force for identities that have none of their own', () => {
    const own = `<identity category='a' type='b' xml:lang='en'/>`;
    expect(caps2(`<identity category='a' type='b'/>`, 'sha-256', 'en')).toBe(caps2(own));
    expect(caps2(own, 'sha-256', 'de')).toBe(caps2(own));
  });

  it.each([
    ['a foreign element', `<set xmlns='http://jabber.org/protocol/rsm'/>`],
    ['a form with <reported/>', FORM('<reported/>')],
    ['a form with <item/>', FORM('<item/>')],
    ['a form without FORM_TYPE', `<x xmlns='jabber:x:data'><field var='a'/></x>`],
  ])('refuses %s (§4.1)', (_, more) => {
    expect(caps2(TKABBER + more)).toBeUndefined();
  });
});

it('lets only functions that are still good vouch for an answer', () => {
  expect(['sha-1', 'sha-256', 'sha3-512', 'blake2b-512'].every(isSupportedHash)).toBe(true);
  expect(['md5', 'MD5', 'none', '', 'toString', 'constructor'].some(isSupportedHash)).toBe(false);
});

it('lists the features of an answer', () => {
  expect([...featuresIn(parse(disco(`<feature var='a'/><feature/><feature var='b'/>`)))]).toEqual(['a', 'b']);
});
