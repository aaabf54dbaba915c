import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { readStartRequest } from '../../../../src/session/start/request.js';
import { parseElement } from '../../../../src/xml/tree.js';
import { START } from './scenes.js';

const read = (inside: string, declarations = '') =>
  readStartRequest(
    parseElement(Buffer.from(`<session-start xmlns='${START}'${declarations}>${inside}</session-start>`)),
  );
const room = (jid: string, nick = 'me') => `<room jid='${jid}' nick='${nick}'/>`;

describe('docs/session-start.md: what a client can leave with the proxy', () => {
  test('nothing at all', () => {
    expect(read('')).toEqual({ archive: undefined, presence: undefined, rooms: [] });
  });

  test('an id goes before a time, and what is neither is there all the same', () => {
    const nothing = { after: undefined, since: undefined, seconds: undefined, queryId: undefined };
    expect(read("<archive after='1' seconds='5'/>").archive).toEqual({ ...nothing, after: '1' });
    expect(read("<archive seconds='60' queryid='q'/>").archive).toEqual({
      ...nothing,
      seconds: 60,
      queryId: 'q',
    });
    for (const attributes of [
      '',
      "after=''",
      "seconds='0'",
      "seconds='x'",
      "seconds='1e99'",
      "since='yesterday'",
      "since='2026-99-01T00:00:00Z'",
    ])
      expect(read(`<archive ${attributes}/>`).archive, attributes).toEqual(nothing);
  });

  test('XEP-0082: a time of any zone, asked for in UTC', () => {
    const since = (time: string) => read(`<archive since='${time}'/>`).archive?.since;
    expect(since('2026-11-20T12:00:00+02:00')).toBe('2026-11-20T10:00:00.000Z');
    expect(since('2026-11-20T10:00:00.123456Z')).toBe('2026-11-20T10:00:00.123Z');
  });

  test('RFC 6121 §4.2.1: initial presence has no type and no addressee; a sender is not the client’s to say', () => {
    const presence = (attributes: string) => read(`<presence xmlns='jabber:client'${attributes}/>`).presence;
    expect(presence(" from='x@example.net' id='p'")).toBe("<presence xmlns='jabber:client' id='p'/>");
    expect(presence(" type='unavailable'")).toBeUndefined();
    expect(presence(" to='x@example.net'")).toBeUndefined();
    expect(read('<presence/>').presence).toBeUndefined();
  });

  test('prefixes that are declared around the presence go with it', () => {
    const { presence } = read(
      "<presence xmlns='jabber:client'><p:x/></presence>",
      " xmlns:p='urn:example:p'",
    );
    const again = parseElement(Buffer.from(presence!));
    expect(again.getChild('x', 'urn:example:p')).toBeDefined();
  });

  test('XEP-0045 §7.2: what is no room, or no nickname, is left out, and so is what would go elsewhere', () => {
    expect(read(room('one@muc') + room('muc') + room('') + room('two@muc', '')).rooms).toEqual([
      "<presence to='one@muc/me'><x xmlns='http://jabber.org/protocol/muc'></x></presence>",
    ]);
    const password = "<password xmlns='http://jabber.org/protocol/muc'>a&lt;b</password>";
    const [secret] = read(`<room jid='one@muc' nick='me'>${password}<x xmlns='urn:other'/></room>`).rooms;
    expect(secret).toContain(`>${password}</x>`);
  });

  test('50 rooms at most', () => {
    expect(read(room('one@muc').repeat(60)).rooms).toHaveLength(50);
  });
});
