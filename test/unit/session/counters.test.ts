import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Feature, PASS } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';

type Fate = 'pass' | 'drop' | 'inject-up' | 'inject-down' | 'handled-and-answered';

/** Does to each stanza what the list says, over and over: the test feature that injects and drops. */
function meddling(fates: readonly Fate[]): Feature {
  let next = 0;
  return {
    name: 'meddling',
    watches: [
      { direction: 'to-server', stanza: 'message' },
      { direction: 'to-client', stanza: 'message' },
    ],
    open: (context) => ({
      onStanza: () => {
        const fate = fates[next++ % fates.length];
        switch (fate) {
          case 'drop':
            return { action: 'drop', reason: 'test-dropped' };
          case 'inject-up':
            context.send('server', "<message id='injected'/>", 'test-injected');
            return PASS;
          case 'inject-down':
            context.send('client', "<message id='injected'/>", 'test-injected');
            return PASS;
          case 'handled-and-answered':
            context.send('client', "<message id='injected'/>", 'test-injected');
            return { action: 'handled', reason: 'test-dropped' };
          default:
            return PASS;
        }
      },
    }),
  };
}

/** One end of a stream with stream management, that counts as the specification says. */
class Peer {
  /** Own stanzas, in order: true once the proxy has confirmed them. */
  sent = 0;
  confirmed = 0;
  received: string[] = [];

  take(output: string, answer: (h: number) => void): void {
    for (const [element] of output.matchAll(/<message id='[^']*'\/>|<r [^>]*>|<a [^>]*>/g)) {
      if (element.startsWith('<m')) this.received.push(element);
      else if (element.startsWith('<r')) answer(this.received.length);
      else {
        const h = Number(/h='(\d+)'/.exec(element)?.[1]);
        expect(h).toBeGreaterThanOrEqual(this.confirmed);
        expect(h).toBeLessThanOrEqual(this.sent);
        this.confirmed = h;
      }
    }
  }
}

const fates = fc.array(
  fc.constantFrom<Fate>('pass', 'pass', 'drop', 'inject-up', 'inject-down', 'handled-and-answered'),
  { minLength: 1, maxLength: 12 },
);
const step = fc.constantFrom(
  'client-sends',
  'server-sends',
  'client-asks',
  'server-asks',
  'client-late',
  'server-late',
);

describe('XEP-0198: features inject and drop, and the counters never drift', () => {
  test('property: what one side is told is confirmed is with the other side or was used up, and in the end all is', () => {
    fc.assert(
      fc.property(fates, fc.array(step, { maxLength: 120 }), (plan, steps) => {
        const play = new Playbook({ features: [meddling(plan)] }).bound({ sm: true }).clientHasSm();
        const client = new Peer();
        const server = new Peer();
        const a = (h: number) => `<a xmlns='urn:xmpp:sm:3' h='${h}'/>`;
        const read = (leg: 'client' | 'server') => {
          const peer = leg === 'client' ? client : server;
          peer.take(play.takeSent(leg), (h) => (leg === 'client' ? play.client(a(h)) : play.server(a(h))));
        };
        let n = 0;
        const alive = (s: string) => {
          n += 1;
          if (s === 'client-sends') {
            client.sent += 1;
            play.client(`<message id='${n}'/>`);
          } else if (s === 'server-sends') {
            server.sent += 1;
            play.server(`<message id='${n}'/>`);
          } else if (s === 'client-asks') play.client("<r xmlns='urn:xmpp:sm:3'/>");
          else if (s === 'server-asks') play.server("<r xmlns='urn:xmpp:sm:3'/>");
          else read(s === 'client-late' ? 'client' : 'server');
        };
        for (const s of steps) alive(s);
        // In the end everybody reads and asks until all is said.
        for (let i = 0; i < 4; i++) {
          // The server is not answered more often than that.
          play.passes(1).client("<r xmlns='urn:xmpp:sm:3'/>").server("<r xmlns='urn:xmpp:sm:3'/>");
          for (let j = 0; j < 3; j++) {
            read('server');
            read('client');
          }
        }
        expect(client.confirmed).toBe(client.sent);
        expect(server.confirmed).toBe(server.sent);
        play.done();
      }),
      { numRuns: 500 },
    );
  });
});
