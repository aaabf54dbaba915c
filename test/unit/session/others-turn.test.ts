import { expect, test } from 'vitest';
import type { Feature, FeatureContext } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';

const SAID = "<message from='room@muc.example.org' type='headline'><body>said</body></message>";

test('what is sent in another session’s turn goes out when that turn is over, all at once', () => {
  const contexts: FeatureContext[] = [];
  const feature: Feature = {
    name: 'teller',
    watches: [{ direction: 'to-client', stanza: 'message', types: ['groupchat'] }],
    open: (context) => {
      contexts.push(context);
      return {
        onStanza: () => {
          for (const other of contexts)
            if (other !== context) other.sendInOthersTurn(SAID, 'test-injected', context.now);
          return { action: 'handled', reason: 'test-dropped' };
        },
      };
    },
  };
  const speaker = new Playbook({ features: [feature] }).bound({ jid: 'a@example.org/r' });
  const listener = new Playbook({ with: speaker }).bound({ jid: 'b@example.org/r' });
  speaker
    .passes(5)
    .server("<message type='groupchat' from='room@muc.example.org/x'><body>1</body></message>".repeat(2));
  listener.toClient(SAID + SAID).sendsOnly();
  expect(listener.session.now).toBe(speaker.session.now);
});
