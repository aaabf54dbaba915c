import { describe, expect, it } from 'vitest';
import { HOSTILE_INPUTS, ORDINARY_INPUT } from '../../../bench/hostile-inputs.js';
import { AFTER_AUTH } from '../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';

/** What the proxy's own tokenizer says to a client that sends this. */
function read(bytes: Buffer): string {
  let stanzas = 0;
  const sink = { onHeader() {}, onStanza: () => void stanzas++, onClose() {} };
  const namespaces = new NamespaceTable(Object.values(NS));
  const tokenizer = new Tokenizer(sink, { limits: AFTER_AUTH, origin: 'client', namespaces });
  tokenizer.push(
    Buffer.from("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"),
  );
  return tokenizer.push(bytes)?.reason ?? `${stanzas} read`;
}

describe('the hostile inputs', () => {
  it.each(HOSTILE_INPUTS.map((input) => [input.name, input] as const))(
    '%s fits into a stanza',
    (_, { bytes }) => {
      expect(bytes.length).toBeLessThan(AFTER_AUTH.stanzaBytes);
    },
  );

  // Were all refused at their first bytes, the bench would measure nothing.
  it('are mostly legal, so that they are read to their end', () => {
    const verdicts = Object.fromEntries(HOSTILE_INPUTS.map(({ name, bytes }) => [name, read(bytes)]));
    expect(verdicts).toEqual({
      '240 kB of text': '1 read',
      '16 kB of text, byte by byte': '1 read',
      '240 kB in one attribute': '1 read',
      '240 kB of entities': '1 read',
      '90 deep, again and again': '1 read',
      '60 kB nested': 'too-deep',
      '95 attributes, again and again': '1 read',
      '950 children': '1 read',
      '90 prefixes in scope': '1 read',
      'bare & and 240 kB': 'bare-ampersand',
    });
  });

  it('are compared with as many bytes of chat', () => {
    expect(read(ORDINARY_INPUT.bytes)).toBe('714 read');
  });
});
