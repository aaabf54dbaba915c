import { describe, test } from 'vitest';
import { Playbook } from './playbook.js';
import { boundAs, comesBack, message, PROBE, resumable, SM } from './resumable.js';

/** A client that does not read, so that its server is not read either. */
function behind(play: Playbook): Playbook {
  play.full = 'client';
  play.server(message(1)).toClient(message(1)).commands('pause server');
  play.full = undefined;
  return play;
}

describe('a server that is not read because its client reads slowly', () => {
  test('is read again when the client is lost and its session held', () => {
    behind(resumable()).lost('client').commands('destroy client', 'resume server').done();
  });

  test('and when the client comes back before its old connection is lost', () => {
    const play = behind(resumable());
    const again = comesBack(play).toServer(PROBE).server(boundAs('a@example.org/other'));
    again.sendsOnly().toServer('</stream:stream>');
    play
      .toClient(/<conflict .*<resumed .*<\/message>$/)
      .commands('end client', 'resume server', 'resume client');
    play.server(message(2)).toClient(message(2)).done();
  });

  test('and when the client is lost whose session is not held', () => {
    const play = behind(new Playbook().bound()).lost('client').toServer('</stream:stream>');
    play.commands('destroy client', 'resume server').server('</stream:stream>').commands('end server');
    play.finishes('client-reset').done();
  });
});

describe('a client that is not read because its server reads slowly', () => {
  test('is read when the server is lost: what it says to have is not put away for it', () => {
    const play = resumable({ serverSm: false });
    play.server(message(1)).toClient(message(1));
    play.full = 'server';
    play.client('<message/>').toServer('<message/>').commands('pause client');
    play.lost('server').toClient(`<r xmlns='${SM}'/>`).commands('destroy server', 'resume client');
    play
      .client(`<a xmlns='${SM}' h='1'/>`)
      .toClient(/<system-shutdown /)
      .commands('end client')
      .done();
  });
});
