import { expect, test } from 'vitest';
import { Acknowledgement, type AcknowledgementOutput } from '../../../src/session/acknowledgement.js';
import { type Feature, type FeatureContext, PASS } from '../../../src/session/feature.js';
import { Receipts } from '../../../src/session/receipts.js';
import { Playbook } from './playbook.js';

const R = "<r xmlns='urn:xmpp:sm:3'/>";
const a = (h: number) => `<a xmlns='urn:xmpp:sm:3' h='${h}'/>`;
const said = (n: number) => `<message from='b@example.org/x' id='m${n}'><body>${n}</body></message>`;

/** Wants to know of every message whether the client has it, and may hold back what the server is told. */
class Probe {
  context!: FeatureContext;
  readonly received: string[] = [];
  asks = false;
  holds = false;
  release: (() => void)[] = [];
  readonly feature: Feature = {
    name: 'probe',
    watches: [{ direction: 'to-client', stanza: 'message' }],
    open: (context) => {
      this.context = context;
      return {
        onStanza: ({ frame }) => {
          context.whenReceived(frame.id ?? '', this.asks);
          if (!this.holds) return PASS;
          this.release.push(context.holdAcknowledgement());
          return { action: 'handled', reason: 'test-dropped' };
        },
        onReceived: (tokens) => this.received.push(...tokens),
      };
    },
  };
}

test('a feature is told when the client has acknowledged what was sent up to there, in order', () => {
  const probe = new Probe();
  const play = new Playbook({ features: [probe.feature] })
    .bound({ sm: true })
    .clientHasSm()
    .server(said(1) + said(2) + said(3))
    .toClient(said(1) + said(2) + said(3))
    .passes(0);
  expect(probe.received).toEqual([]);
  play.client(a(2)).toServer(a(2)).passes(0);
  expect(probe.received).toEqual(['m1', 'm2']);
  play.client(a(3)).toServer(a(3)).passes(0);
  expect(probe.received).toEqual(['m1', 'm2', 'm3']);
});

test('the client is asked when a feature wants to know soon, one question at a time', () => {
  const probe = new Probe();
  probe.asks = true;
  const play = new Playbook({ features: [probe.feature] })
    .bound({ sm: true })
    .clientHasSm()
    .server(said(1) + said(2))
    .toClient(said(1) + R + said(2));
  play.client(a(1)).toClient(R).toServer(a(1)).client(a(2)).toServer(a(2));
  expect(probe.received).toEqual(['m1', 'm2']);
});

test('a client without stream management has what is written to it', () => {
  const probe = new Probe();
  new Playbook({ features: [probe.feature] }).bound().server(said(1)).toClient(said(1)).passes(0);
  expect(probe.received).toEqual(['m1']);
});

test('to the server nothing counts as delivered that a feature is putting away, nor what is behind it', () => {
  const probe = new Probe();
  const play = new Playbook({ features: [probe.feature] }).bound({ sm: true });
  probe.holds = true;
  play.server(said(1) + said(2) + R).toServer(a(0));
  probe.release[1]?.();
  play.server(R).toServer(a(0));
  probe.release[0]?.();
  play.client(' ').toServer(`${a(2)} `);
});

test('what the next process is told of, at once, is what the client had when it came back', () => {
  const told: string[] = [];
  const begun = () => {
    const acknowledgement = new Acknowledgement({} as AcknowledgementOutput);
    acknowledgement.down.inject();
    const receipts = new Receipts({
      ...{ acknowledgement, clientIsHeld: false, clientIsGone: false, receiptsMayBeDue: () => {} },
      tellReceived: (_feature, tokens) => told.push(...tokens),
    });
    return { receipts, down: acknowledgement.down };
  };
  const before = begun();
  for (const token of ['one', 'two', 'three']) {
    before.receipts.want('probe', token, false);
    before.down.inject();
  }
  const after = begun();
  after.down.inject();
  after.down.acknowledge(2);
  after.receipts.restore(before.receipts.state);
  expect(told).toEqual(['one', 'two']);
  after.down.inject();
  after.down.acknowledge(3);
  after.receipts.wake();
  after.receipts.clientHasMore();
  expect(told).toEqual(['one', 'two']);
  expect(after.receipts.state).toEqual([]);
});

test('who asks one question at a time hears at once of all that the client has, and is not called for nothing', () => {
  const acknowledgement = new Acknowledgement({ allWritten: () => true } as unknown as AcknowledgementOutput);
  const due: boolean[] = [];
  const told: string[] = [];
  const receipts: Receipts = new Receipts({
    ...{ acknowledgement, clientIsHeld: false, clientIsGone: false },
    receiptsMayBeDue: (areDue) => due.push(areDue),
    tellReceived: (_feature, [token = '']) => {
      told.push(token);
      if (token === 'first') receipts.want('probe', 'rest', true);
    },
  });
  acknowledgement.down.inject();
  receipts.want('probe', 'first', true);
  acknowledgement.down.inject();
  acknowledgement.down.acknowledge(2);
  receipts.clientHasMore();
  expect(told).toEqual(['first', 'rest']);
  expect(due).toEqual([true, false]);
});
