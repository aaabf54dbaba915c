import { describe, expect, test } from 'vitest';
import { type Feature, type FeatureContext, PASS } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';
import { FEATURES, ID, isOver, resumable, SM, SM_FEATURE } from './resumable.js';

/** Has copies in the store of what it sends to the client. */
class Keeper {
  context!: FeatureContext;
  readonly received: string[][] = [];
  readonly waiting: string[] = [];
  readonly feature: Feature = {
    name: 'keeper',
    watches: [],
    open: (context) => {
      this.context = context;
      return {
        onStanza: () => PASS,
        onReceived: (tokens) => this.received.push([...tokens]),
        onWaiting: (_account, message) => this.waiting.push(message.toString()),
      };
    },
  };

  sends(...numbers: readonly number[]): void {
    for (const n of numbers) this.context.sendStored(event(n), 'test-injected', `copy ${n}`);
  }
}

const event = (n: number) => `<message from='b@example.org' id='e${n}'><body>event ${n}</body></message>`;
const a = (h: number) => `<a xmlns='${SM}' h='${h}'/>`;

describe('of what a feature has sent out of the store', () => {
  test('it is told what a client that may resume has acknowledged', () => {
    const keeper = new Keeper();
    const play = resumable({ features: [keeper.feature] });
    keeper.sends(1, 2, 3);
    play.client(a(2)).toClient(event(1) + event(2) + event(3));
    expect(keeper.received).toEqual([['copy 1', 'copy 2']]);
    play.client(a(3));
    expect(keeper.received).toEqual([['copy 1', 'copy 2'], ['copy 3']]);
  });

  test('it is told what a client with stream management has acknowledged that may not resume', () => {
    const keeper = new Keeper();
    const play = new Playbook({ features: [keeper.feature] }).bound({ sm: true }).clientHasSm();
    keeper.sends(1, 2);
    play
      .client(' ')
      .toClient(event(1) + event(2))
      .toServer(' ')
      .passes(1_000);
    expect(keeper.received).toEqual([]);
    play.client(a(1)).passes(1_000);
    expect(keeper.received.flat()).toEqual(['copy 1']);
  });

  test('it is told what has been written to a client without stream management', () => {
    const keeper = new Keeper();
    const play = new Playbook({ features: [keeper.feature] }).bound();
    keeper.sends(1, 2);
    play
      .client(' ')
      .toClient(event(1) + event(2))
      .toServer(' ')
      .passes(1_000);
    expect(keeper.received.flat()).toEqual(['copy 1', 'copy 2']);
  });

  test('nothing else is kept for the next session, and nobody is told that it waits', () => {
    const keeper = new Keeper();
    const play = resumable({ features: [keeper.feature] });
    keeper.sends(1);
    play.client(' ').toClient(event(1)).toServer(' ').lost('client');
    keeper.sends(2);
    play.passes(300_000).sendsOnly();
    expect([play.inStore.size, keeper.received, keeper.waiting]).toEqual([0, [], []]);
    play.toServer(/<\/stream:stream>$/);
    isOver(play);
  });

  test('nor is it in doubt whether the server has it too, when its leg is lost', () => {
    const keeper = new Keeper();
    const play = resumable({ features: [keeper.feature] });
    keeper.sends(1);
    play.client(' ').toClient(event(1)).toServer(' ').lost('server').passes(301).sendsOnly().done();
    expect(play.session.domain.doubts.has('a@example.org')).toBe(false);
  });

  test('the next process tells what the client had when it came back, and of the rest nothing', () => {
    const before = new Keeper();
    const first = resumable({ features: [before.feature] });
    before.sends(1, 2, 3);
    first.client(a(1)).toClient(event(1) + event(2) + event(3));
    first.shutdown().stored().sendsOnly().done();
    const after = new Keeper();
    const second = new Playbook({ features: [after.feature], store: first, hold: { seconds: 300 } })
      .authenticated(FEATURES + SM_FEATURE)
      .client(`<resume xmlns='${SM}' previd='${ID}' h='2'/>`)
      .sendsOnly()
      .loaded()
      .sendsOnly()
      .loaded()
      .toServer(`<resume xmlns='${SM}' previd='server-id' h='0'/>`)
      .server(`<resumed xmlns='${SM}' previd='server-id' h='0'/>`)
      .toClient(`<resumed xmlns='${SM}' previd='${ID}' h='0'/>`);
    expect(after.received).toEqual([['copy 2']]);
    after.sends(3);
    second.sendsOnly().client(a(3)).toClient(event(3)).stored().sendsOnly();
    expect(after.received).toEqual([['copy 2'], ['copy 3']]);
  });
});
