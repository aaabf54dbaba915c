import { expect, test } from 'vitest';
import { createDomains } from '../../../src/session/domain.js';
import { Playbook } from './playbook.js';
import { message, resumable } from './resumable.js';

/** The domain before and behind a change of its settings. */
function changed(before: Playbook) {
  const { config } = before.session.settings;
  const settings = new Map(
    [...config.domains].map(([name, domain]) => [name, { ...domain, hold: { ...domain.hold, seconds: 60 } }]),
  );
  const domains = createDomains({ ...config, domains: settings }, [], before.domains);
  return { former: before.domains.get('example.org')!, present: domains.get('example.org')! };
}

test('a change of settings: what one does to a session of before goes out at the end of its turn', () => {
  const before = resumable();
  const { former, present } = changed(before);
  const settled: string[] = [];
  former.settlesLater({ flush: () => settled.push('former') });
  present.settleOthers();
  present.settlesLater({ flush: () => settled.push('present') });
  former.settleOthers();
  expect(settled).toEqual(['former', 'present']);
  before.done();
});

test('a change of settings: sessions that begin afterwards know of those before, and of what they have left', () => {
  const before = resumable();
  const { former, present } = changed(before);
  expect(present).not.toBe(former);
  expect(present.sessionsOf('a@example.org')).toHaveLength(1);
  // What the server was not acknowledged may come out on a session that began behind the change.
  before.server(message(1)).toClient(message(1)).lost('server').sendsOnly();
  before.passes(301).sendsOnly().stored();
  expect(present.doubts.has('a@example.org')).toBe(true);
  expect(present.ended.handled('resume-me', 'a@example.org')).toBe(0);
  expect(present.sessionsOf('a@example.org')).toHaveLength(0);
  before.done();
});

test('RFC 7622 §3.2.1: an internationalised domain is the same in both spellings', () => {
  const { config } = new Playbook().session.settings;
  const [any] = config.domains.values();
  for (const [name, other] of [
    ['bücher.example', 'xn--bcher-kva.example'],
    ['xn--bcher-kva.example', 'bücher.example'],
  ] as const) {
    const domains = createDomains({ ...config, domains: new Map([[name, { ...any!, name }]]) }, []);
    expect(domains.get(other)?.name).toBe(name);
    expect(domains.get(other)).toBe(domains.get(name));
  }
});
