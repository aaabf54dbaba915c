import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { expect, it } from 'vitest';
import { type LegOwner, SocketLeg } from '../../../src/transport/leg.js';

/** Who a leg tells what has come about. */
function ownerOf(told: string[]): LegOwner {
  return {
    legData: () => told.push('data'),
    legEnded: () => told.push('ended'),
    legLost: () => told.push('lost'),
    legDrained: () => told.push('drained'),
    legSecured: () => told.push('secured'),
    legMoved: () => told.push('moved'),
    legMisframed: () => told.push('misframed'),
    legPaused: () => told.push('paused'),
  };
}

it.each([16_384, 65_536])(
  'who is told that the queue is full hears when it is empty, on sockets that take %i bytes before they say so',
  async (highWaterMark) => {
    for (let bytes = 8_192; bytes <= 131_072; bytes *= 2) {
      let taken: () => void = () => undefined;
      const socket = new Duplex({
        writableHighWaterMark: highWaterMark,
        read() {},
        write: (_chunk, _encoding, done) => {
          taken = done;
        },
      });
      const told: string[] = [];
      const leg = new SocketLeg('client', socket as Socket, ownerOf(told), 16_384);
      const mayGoOn = leg.write(Buffer.alloc(bytes));
      leg.settle();
      taken();
      await new Promise<void>((resolve) => setImmediate(resolve));
      expect(told, `of ${bytes} bytes`).toEqual(mayGoOn ? [] : ['drained']);
      expect(mayGoOn).toBe(bytes <= highWaterMark);
    }
  },
);
