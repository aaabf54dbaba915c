import { expect, test } from 'vitest';
import type { Feature } from '../../../src/session/feature.js';
import { HEADER, Playbook } from './playbook.js';

/** Notes what it hears of its client. */
function listening() {
  const heard: string[] = [];
  const feature: Feature = {
    name: 'listening',
    watches: [],
    open: () => ({
      onPause: (paused, now) => heard.push(`${paused ? 'paused' : 'back'} at ${now}`),
      onLegDown: (leg) => heard.push(`down ${leg}`),
    }),
  };
  return { feature, heard };
}

test('XEP-0124 §10: features hear of a client’s pause and of its end, and the leg is not down by it', () => {
  const { feature, heard } = listening();
  const play = new Playbook({ features: [feature] }).bound();
  play.session.onPaused(true, 5_000);
  play.server("<message id='m'/>").toClient("<message id='m'/>");
  play.session.onPaused(false, 9_000);
  expect(heard).toEqual(['paused at 5000', 'back at 9000']);
  play.done();
});

test('a pause before there is a session is nobody’s business', () => {
  const play = new Playbook().client(HEADER).commands('connect example.org', 'pause client');
  play.session.onPaused(true, 5_000);
  play.done();
});

test('RFC 7395 §3.5: what breaks a transport’s framing ends the stream with an error, behind a header', () => {
  const play = new Playbook();
  play.session.onMisframed('bad-format', 'A message must be one element.', 1_000);
  play
    .toClient(
      /^<\?xml version='1.0'\?><stream:stream [^>]*><stream:error><bad-format [^>]*\/><text [^>]*>A message must be one element\.<\/text><\/stream:error><\/stream:stream>$/,
    )
    .commands('end client')
    .counts('stream_error misframed', 1)
    .finishes('bad-format')
    .done();
});

test('and so it does to a session that could have been resumed: there is nothing to go on with', () => {
  const play = new Playbook().bound();
  play.session.onMisframed('policy-violation', 'A message is too big.', 1_000);
  play
    .toClient(/<policy-violation .*<\/stream:stream>$/)
    .toServer('</stream:stream>')
    .commands('end client')
    .server('</stream:stream>')
    .commands('end server')
    .finishes('policy-violation')
    .done();
});
