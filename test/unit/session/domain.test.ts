import { expect, test } from 'vitest';
import { createDomains } from '../../../src/session/domain.js';
import { message, resumable } from './resumable.js';

test('a change of settings: sessions that begin afterwards know of those before, and of what they have left', () => {
  const before = resumable();
  const { config } = before.session.settings;
  const changed = new Map(
    [...config.domains].map(([name, domain]) => [name, { ...domain, hold: { ...domain.hold, seconds: 60 } }]),
  );
  const domains = createDomains({ ...config, domains: changed }, [], before.domains);
  const [former, present] = [before.domains.get('example.org')!, domains.get('example.org')!];
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
