import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Feature, PASS } from '../../../src/session/feature.js';
import { escapeText } from '../../../src/xml/serialize.js';
import { Playbook } from './playbook.js';

const directions = ['to-server', 'to-client'] as const;
const stanzas = ['message', 'presence', 'iq'] as const;

/** Sees every stanza in both directions, asks for all that a feature may ask of it, and changes nothing. */
const transparencyCheck: Feature = {
  name: 'transparency-check',
  watches: directions.flatMap((direction) => stanzas.map((stanza) => ({ direction, stanza }))),
  amendsDisco: true,
  open: () => ({
    onStanza: ({ frame, tree }) => {
      expect([frame.to, frame.from, frame.type, frame.id, frame.lang].length).toBe(5);
      for (let i = 0; i < frame.childCount; i++) expect(frame.childName(i)).not.toBe('');
      void tree;
      return PASS;
    },
    onDisco: () => undefined,
  }),
};

const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((s) => escapeText(s));
const child = fc.oneof(
  text.map((t) => `<body>${t}</body>`),
  text.map((t) => `<x xmlns='urn:example:${t.length}' a="1"><y/>${t}<![CDATA[<&]]></x>`),
  fc.constant("<p:z xmlns:p='urn:p' p:a='1'/>"),
  fc.constant("<query xmlns='http://jabber.org/protocol/disco#info'/>"),
);
const stanza = fc
  .record({
    name: fc.constantFrom(...stanzas),
    type: fc.constantFrom('chat', 'result', 'error', 'unavailable', 'weird'),
    quote: fc.constantFrom("'", '"'),
    space: fc.constantFrom('', ' ', '\n'),
    to: fc.constantFrom(
      'b@example.org',
      'b@example.org/r',
      'example.org',
      'room@muc.example.org/nick',
      'no jid @@',
    ),
    children: fc.array(child, { maxLength: 4 }),
  })
  .map(
    ({ name, type, quote: q, space, to, children }) =>
      `<${name} type=${q}${type}${q}${space || ' '}to=${q}${to}${q} id='i' unknown='kept'${space}>${space}${children.join(space)}</${name}>`,
  );

describe('with every feature off, client and server see the same stanzas as without the proxy', () => {
  for (const features of [[], [transparencyCheck]]) {
    const name = features.length === 0 ? 'no feature' : 'a feature that only looks';
    test(`property: ${name}: bytes leave as they came, however they are chunked`, () => {
      fc.assert(
        fc.property(
          fc.array(stanza, { minLength: 1, maxLength: 8 }),
          fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
          fc.boolean(),
          (list, cuts, up) => {
            const play = new Playbook({ features }).bound();
            const whole = Buffer.from(list.join(''));
            let at = 0;
            for (let i = 0; at < whole.length; i++) {
              const next = Math.min(whole.length, at + cuts[i % cuts.length]!);
              play.session.onData(up ? 'client' : 'server', Buffer.from(whole.subarray(at, next)), play.now);
              at = next;
            }
            if (up) play.toServer(whole.toString());
            else play.toClient(whole.toString());
            play.done();
          },
        ),
        { numRuns: 300 },
      );
    });
  }
});
