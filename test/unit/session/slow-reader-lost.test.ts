import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
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

describe('whatever a slow client does', () => {
  const slow = ['message', 'message', 'message', 'fills', 'drains', 'acknowledges'] as const;
  const steps = fc.array(fc.constantFrom(...slow, 'lost', 'back', 'taken over', 'waits'), {
    maxLength: 30,
    size: 'max',
  });

  /** A client and what it has; each of its connections belongs to the same session. */
  class SlowClient {
    readonly play = resumable({ hold: { stanzas: 3 } });
    #sent = 0;
    #has = 0;
    #connected = true;
    /** A write has found the queue full: that it is empty will be told, on this connection. */
    #owed = false;

    get isOver(): boolean {
      return this.play.summary !== undefined || this.play.session.hold?.mayComeBack !== true;
    }

    does(step: string): void {
      const { play } = this;
      // Bytes come only where they are read.
      if (step === 'message' && play.isRead('server')) {
        this.#owed ||= play.full === 'client';
        play.server(message(++this.#sent));
      } else if (step === 'fills' && this.#connected) play.full = 'client';
      else if (step === 'drains') this.#drains();
      else if (step === 'waits') play.passes(20);
      else if (step === 'acknowledges' && this.#connected) this.#acknowledges();
      else if (step === 'lost' && this.#connected) {
        this.#connected = false;
        this.#newQueue();
        play.lost('client');
      } else if (step === (this.#connected ? 'taken over' : 'back')) this.#comesBack();
      this.#has = Math.max(
        this.#has,
        ...[...play.takeSent('client').matchAll(/id='m(\d+)'/g)].map((m) => Number(m[1])),
      );
      play.takeSent('server');
      play.sendsOnly();
      if (!this.#connected) expect(play.isRead('server')).toBe(true);
    }

    #newQueue(): void {
      this.play.full = undefined;
      this.#owed = false;
    }

    #drains(): void {
      if (this.#owed) this.play.drained('client');
      this.#newQueue();
    }

    #acknowledges(): void {
      this.play.client(`<a xmlns='${SM}' h='${this.#has}'/>`);
    }

    #comesBack(): void {
      this.#newQueue();
      this.#connected = true;
      const again = comesBack(this.play, this.#has).server(boundAs('a@example.org/other'));
      again.sendsOnly();
      again.takeSent('server');
      again.takeSent('client');
    }
  }

  test('property: its server is read while it is away, and when it has come back, reads and acknowledges', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const client = new SlowClient();
        for (const step of [...list, 'back', 'drains', 'acknowledges']) {
          if (client.isOver) break;
          client.does(step);
        }
        expect(client.play.isRead('server')).toBe(true);
        client.play.takeSent('client');
        client.play.takeSent('server');
        client.play.sendsOnly();
      }),
      { numRuns: 500 },
    );
  });
});
