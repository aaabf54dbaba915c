import { expect, test } from 'vitest';
import type { Feature } from '../../../src/session/feature.js';
import { Playbook } from './playbook.js';
import { BIND_RESULT, comesBack, FEATURES, message, resumable, SM, SM_FEATURE } from './resumable.js';

/** Throws as soon as the server sends a headline, and when it is closed because of that. */
const faulty: Feature = {
  name: 'faulty',
  watches: [{ direction: 'to-client', stanza: 'message', types: ['headline'] }],
  open: () => ({
    onStanza: () => {
      throw new Error('a mistake');
    },
    onClose: () => {
      throw new Error('a consequence');
    },
  }),
};

/** A session that may be resumed, has something for its client, and has thrown. */
function thrown(): Playbook {
  const play = resumable({ features: [faulty] });
  play.server(message(1)).toClient(message(1)).commands();
  expect(() => play.server("<message type='headline'/>")).toThrow('a mistake');
  play.session.onFault();
  return play;
}

test('a session that has thrown is not there any more: to nobody who asks, nor to the client that wants it back', () => {
  const play = thrown();
  expect(play.domains.get('example.org')?.sessionsOf('a@example.org')).toEqual([]);
  const back = comesBack(play).loaded();
  back
    .commands('resume client')
    .toClient(new RegExp(`<failed xmlns='${SM}'.*<item-not-found .*</failed>$`))
    .done();
});

test('who waits for its resource, or for what it puts away, does not wait for ever', () => {
  const play = thrown();
  const next = new Playbook({ with: play, hold: { seconds: 300 } })
    .at(play.now)
    .authenticated(FEATURES + SM_FEATURE);
  const ask =
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
  next.client(ask).toServer(ask);
  next.server(`<iq type='result' id='b'>${BIND_RESULT}</iq>`).toClient(/<jid>a@example.org/);
  next
    .client('<presence/>')
    .toServer(/<presence\/>/)
    .commands('load undelivered')
    .loaded()
    .done();
});
