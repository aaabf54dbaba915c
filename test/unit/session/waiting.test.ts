import { expect, test } from 'vitest';
import type { Feature, FeatureContext } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';
import { message, resumable, SM } from './resumable.js';

/** A feature that is told what waits. */
class Told {
  context!: FeatureContext;
  readonly waiting: string[] = [];
  readonly feature: Feature = {
    name: 'told',
    watches: [],
    open: (context) => {
      this.context = context;
      return {
        onWaiting: (account, bytes) => {
          this.waiting.push(`${account}: ${/<body>(.*)<\/body>/.exec(bytes.toString())?.[1]}`);
        },
        needsServer: (now) => now + 60_000,
      };
    },
  };
}

const ACCOUNT = 'a@example.org';

test('features are told of messages that wait for a client whose connection is lost, and of none while it is there', () => {
  const told = new Told();
  const play = resumable({ features: [told.feature] });
  play.server(message(1)).toClient(message(1)).client(`<a xmlns='${SM}' h='1'/>`);
  play.takeSent('server');
  expect(told.waiting).toEqual([]);
  play.server(message(2)).toClient(message(2)).lost('client').commands('destroy client').sendsOnly();
  // It may not have had this one.
  expect(told.waiting).toEqual([`${ACCOUNT}: 2`]);
  play.server(`<presence from='b@example.net/x'/>${message(3)}`).sendsOnly();
  told.context.send('client', message(4), 'test-injected');
  expect(told.waiting).toEqual([2, 3, 4].map((n) => `${ACCOUNT}: ${n}`));
});

test('and of what is kept for the account when there is no client any more', () => {
  const told = new Told();
  const play = new Playbook({ features: [told.feature] }).bound();
  play.client('</stream:stream>').toClient('</stream:stream>').toServer("<presence type='unavailable'/>");
  play.takeSent('client');
  play.commands('end client').server(message(1)).commands('store feature 1 +').stored();
  told.context.keepForAccount(ACCOUNT, message(2));
  play.commands('store feature 2 +').stored();
  told.context.waits('A@example.org', message(3));
  expect(told.waiting).toEqual([1, 2, 3].map((n) => `${ACCOUNT}: ${n}`));
});
