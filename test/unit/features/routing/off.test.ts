import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { routing } from '../../../../src/features/routing/routing.js';
import { SETTINGS } from '../../../../src/features/routing/settings.js';
import type { Feature } from '../../../../src/session/feature.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { Playbook } from '../../session/playbook.js';
import { ENABLE, NO_COPY, ONE, PRIVATE, TWO, twoTo } from './scenes.js';

const OWN = 'a@example.org';

/** All that the rules are about, and bytes that no rule would have written. */
const content = fc.constantFrom(
  '<body>hi</body>',
  '<body\n>h&#105;</body >',
  '<body>?OTR:AAMC</body>',
  `<composing xmlns='${NS.chatStates}'/>`,
  `<p:received xmlns:p="${NS.receipts}" id='m'/>`,
  PRIVATE,
  NO_COPY,
  ONE,
  TWO,
  twoTo(`${OWN}/gone`),
  `<im-ng xmlns='${NS.imNg}'/>`,
  `<received xmlns='${NS.carbons2}'><forwarded xmlns='${NS.forward0}'><message xmlns='jabber:client'/></forwarded></received>`,
  `<result xmlns='${NS.mam2}' id='1'/>`,
  `<x xmlns='${NS.mucUser}'/>`,
);
const address = fc.constantFrom(
  ...['', OWN, `${OWN}/r`, `${OWN}/gone`, 'b@example.org', 'b@example.org/x', 'B@example.org/x&amp;y'],
  ...['room@chats.example.org/nick', 'example.org', 'no jid @@'],
);
const message = fc
  .record({
    ...{ here: address, there: address, children: fc.array(content, { maxLength: 5 }) },
    type: fc.constantFrom('', " type='chat'", ' type = "normal"', " type='groupchat'", " type='headline'"),
    isEmpty: fc.boolean(),
  })
  .map(({ here, there, type, children, isEmpty }) => {
    const written = (name: string, value: string) => (value === '' ? '' : ` ${name}='${value}'`);
    const tag = `message${written('from', there)}${type}${written('to', here)} id='1'`;
    return isEmpty && children.length === 0 ? `<${tag} />` : `<${tag}>${children.join(' ')}</message >`;
  });
const iq = fc.constantFrom(
  `<iq type='set' id='1'>${ENABLE}</iq>`,
  `<iq type='set' id='2' to='${OWN}'><enable xmlns='${NS.imNg}'/></iq>`,
  `<iq type='get' id='3'><query xmlns='${NS.roster}'/></iq>`,
);
const stanza = fc.record({
  leg: fc.constantFrom('client' as const, 'server' as const),
  xml: fc.oneof({ weight: 6, arbitrary: message }, iq),
});

const EVERY_RULE_OFF = {
  ...{
    marks: false,
    readdress: false,
    modifiers: false,
    strip: false,
    copies: false,
    gone: false,
    imNg: false,
  },
} as const;

describe('off means byte for byte transparent', () => {
  test.each([
    ['the feature', false],
    ['every rule by itself', EVERY_RULE_OFF],
  ])('property: %s', (_, configured) => {
    fc.assert(
      fc.property(fc.array(stanza, { minLength: 1, maxLength: 12 }), (stanzas) => {
        const play = new Playbook({ features: [routing], configured: { routing: configured } });
        play.bound().client('<presence/>').toServer('<presence/>').sendsOnly();
        for (const { leg, xml } of stanzas) {
          play[leg](xml);
          if (leg === 'client') play.toServer(xml);
          else play.toClient(xml);
        }
        play.sendsOnly().done();
      }),
      { numRuns: 200 },
    );
  });

  test('each rule has a switch', () => {
    const switches = Object.entries(SETTINGS.parse({})).filter(([, value]) => value === true);
    expect(Object.fromEntries(switches.map(([name]) => [name, false]))).toEqual(EVERY_RULE_OFF);
  });

  test('of one domain, whatever another has', () => {
    const { domains } = new Playbook({ features: [routing], configured: { routing: { marks: false } } });
    const settings = (name: string) => domains.get(name)?.settingsOf(routing as Feature);
    expect(settings('example.org')).toMatchObject({ marks: false, readdress: true });
    expect(settings('example.net')).toMatchObject({ marks: true, readdress: true });
    const without = new Playbook({ features: [routing], configured: { routing: false } }).domains;
    const has = (name: string) => without.get(name)?.pipeline.features.some(({ name }) => name === 'routing');
    expect([has('example.org'), has('example.net')]).toEqual([false, true]);
  });
});
