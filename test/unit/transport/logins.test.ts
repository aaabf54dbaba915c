import type { Socket } from 'node:net';
import fc from 'fast-check';
import { afterEach, it } from 'vitest';
import { Sessions } from '../../../src/commands/sessions.js';
import { NS } from '../../../src/xml/namespaces.js';
import { closeAll, dial, openMiddlebox, openServer, readUntil } from './middlebox-harness.js';

afterEach(closeAll);

const HEADER = `<?xml version='1.0'?><stream:stream xmlns='${NS.client}' xmlns:stream='${NS.stream}' to='a.test' version='1.0'>`;
const ANSWER = HEADER.replace("to='a.test'", "from='a.test' id='s'");
const MECHANISMS = `<mechanisms xmlns='${NS.sasl}'><mechanism>PLAIN</mechanism></mechanisms>`;
const AUTH = `<auth xmlns='${NS.sasl}' mechanism='PLAIN'>AGEAYg==</auth>`;
const SUCCESS = `<success xmlns='${NS.sasl}'/>`;
const BIND = `<bind xmlns='${NS.bind}'/>`;
const ASK = `<iq type='set' id='b1'>${BIND}</iq><message id='m'/>`;
const BOUND = `<iq type='result' id='b1'><bind xmlns='${NS.bind}'><jid>a@a.test/r</jid></bind></iq>`;

/** How one side cuts what it says, and whether it takes a turn of the event loop before each piece. */
interface Manner {
  readonly pieces: readonly number[];
  readonly rests: boolean;
}

const manner: fc.Arbitrary<Manner> = fc.record({
  pieces: fc.array(fc.constantFrom(1, 2, 50, 10_000), { minLength: 1, maxLength: 6 }),
  rests: fc.boolean(),
});

async function say(socket: Socket, text: string, { pieces, rests }: Manner): Promise<void> {
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const next = at + pieces[turn % pieces.length]!;
    if (rests) await new Promise<void>((resolve) => setImmediate(resolve));
    socket.write(text.slice(at, next));
    at = next;
  }
}

it.each(['off', 'optional'])(
  'property: over sockets with tls=%s every login comes to its end, the first of a process and many at once',
  async (tls) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(manner, manner), { minLength: 1, maxLength: 4 }),
        async (manners) => {
          let accepted = 0;
          const upstream = await openServer((socket) => {
            const mine = manners[accepted++ % manners.length]![1];
            let heard = '';
            let at = 0;
            const script: [string, string][] = [
              ["version='1.0'>", `${ANSWER}<stream:features>${MECHANISMS}</stream:features>`],
              ['</auth>', SUCCESS],
              ["version='1.0'>", `${ANSWER}<stream:features>${BIND}</stream:features>`],
              ['</iq>', BOUND],
            ];
            socket.on('data', (chunk) => {
              heard += chunk.toString();
              const step = script[at];
              if (step === undefined || !heard.includes(step[0])) return;
              heard = heard.slice(heard.indexOf(step[0]) + step[0].length);
              at += 1;
              void say(socket, step[1], mine);
            });
          });
          let sessions: Sessions | undefined;
          const { ports, config } = await openMiddlebox({
            flags: {
              upstreams: [`xmpp://127.0.0.1:${upstream}`],
              listeners: [`xmpp://127.0.0.1:0?tls=${tls}`],
            },
            session: (port, start) => sessions!.create(port, start),
          });
          sessions = new Sessions(config);
          const logIn = async (own: Manner): Promise<void> => {
            const client = await dial(ports[0]!);
            for (const [said, heard] of [
              [HEADER, '</stream:features>'],
              [AUTH, '<success'],
              [HEADER, '</stream:features>'],
              [ASK, BOUND],
            ] as const) {
              const isThere = readUntil(client, heard);
              await say(client, said, own);
              await isThere;
            }
          };
          await Promise.all(manners.map(([own]) => logIn(own)));
          closeAll();
        },
      ),
      { numRuns: 15 },
    );
  },
);
