import { describe, expect, it } from 'vitest';
import { type Feature, type FeatureContext, PASS } from '../../../src/session/feature.js';
import { play } from './playbook.js';

/** Drops what says "drop", marks what says "mark", and answers what says "ask" by asking in turn. */
const echo: Feature = {
  name: 'echo',
  watches: [{ direction: 'to-server', stanza: 'message' }],
  open: (context: FeatureContext) => ({
    onStanza(stanza) {
      if (stanza.frame.id === 'drop') return { action: 'drop', reason: 'test-dropped' };
      if (stanza.frame.id === 'mark') {
        stanza.edit().appendChild(`<mark xmlns='x'/>`);
        return { action: 'edit', reason: 'test-injected' };
      }
      if (stanza.frame.id === 'ask') {
        context.request({ leg: 'server', type: 'get', to: 'a@b', payload: `<q xmlns='x'/>` }, (answer) =>
          context.send('client', `<message id='${answer.kind}'/>`, 'test-injected'),
        );
        context.wakeAt('later', context.now + 10);
      }
      return PASS;
    },
    onWakeup: (token) => context.send('client', `<message id='${token}'/>`, 'test-injected'),
  }),
};

describe('a playbook', () => {
  it('plays', () => {
    play(echo)
      .fromClient(`<message id='other'/>`)
      .fromClient(`<message id='drop'/>`)
      .expectVerdict('dropped test-dropped')
      .fromClient(`<message to='b' id='mark'></message>`)
      .expectVerdict(
        'changed test-injected',
        `<message id="mark" to="b"><p:mark xmlns:p='x'></p:mark></message>`,
      )
      .fromClient(`<message id='ask'/>`)
      .expectRequest('a@b', `<q xmlns='x'/>`)
      .wake(9)
      .wake(1)
      .expectSent('client', `<message id='later'/>`)
      .answerIq('a@b', { error: 'conflict' })
      .expectSent('client', `<message id='error'/>`)
      .end();
  });

  it('fails on what is not expected, on what does not come, and on what stays open', () => {
    const ask = () => play(echo).fromClient(`<message id='ask'/>`);
    expect(() => ask().end()).toThrow(/not expected/);
    expect(() => ask().fromClient(`<message/>`)).toThrow(/not expected/);
    expect(() => ask().expectRequest('a@c', `<q xmlns='x'/>`)).toThrow(/something else/);
    expect(() => ask().expectRequest('a@b', `<q xmlns='x'/>`).end()).toThrow(/still open/);
    expect(() => ask().expectRequest('a@b', `<q xmlns='x'/>`).expectSent('client', '<message/>')).toThrow(
      /something else/,
    );
    expect(() => play(echo).fromClient(`<message id='drop'/>`).end()).toThrow(/not expected/);
    expect(() => play(echo).answerIq('a@b', 'timeout')).toThrow(/nobody has asked/);
    expect(() => play(echo).fromClient(`<message>`)).toThrow(/not a stanza/);
  });
});
