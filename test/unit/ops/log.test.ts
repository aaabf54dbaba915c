import { describe, expect, it } from 'vitest';
import { createLog, logReady } from '../../../src/ops/log.js';

function capture(level: Parameters<typeof createLog>[0]) {
  const lines: string[] = [];
  return { lines, log: createLog(level, { write: (line: string) => lines.push(line) }) };
}

describe('the log', () => {
  it('never carries what must stay between client and server, whatever a caller hands in', () => {
    const { lines, log } = capture('trace');
    const secret = 'c2VjcmV0';
    log.info({ password: secret, auth: secret, payload: secret, body: secret, key: secret }, 'a');
    log.warn(
      { sasl: { challenge: secret, response: secret }, stream: { previd: secret, token: secret } },
      'b',
    );
    log.debug(
      { stanza: `<message><body>${secret}</body></message>`, xml: secret, resumptionId: secret },
      'c',
    );
    expect(lines).toHaveLength(3);
    expect(lines.join('')).not.toContain(secret);
  });

  it('says that it is ready at every level, in one line that is JSON', () => {
    for (const level of ['trace', 'info', 'warn', 'fatal', 'silent'] as const) {
      const { lines, log } = capture(level);
      logReady(log, { listeners: ['xmpp://127.0.0.1:40123'], admin: 'http://127.0.0.1:1' });
      expect(lines).toHaveLength(1);
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        msg: 'ready',
        listeners: ['xmpp://127.0.0.1:40123'],
        admin: 'http://127.0.0.1:1',
      });
    }
  });

  it('keeps a control character or a line break inside its line', () => {
    const { lines, log } = capture('info');
    log.info({ domain: 'a\n{"msg":"forged"}\u0007' }, 'x');
    expect(lines[0]?.trimEnd()).not.toContain('\n');
    expect(lines[0]).not.toContain('\u0007');
  });
});
