import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Part, Peer, Program, WHOLE_CONVERSATION } from './clients/conversation.js';
import { MATRIX, type MatrixClient } from './clients/matrix.js';
import { RawClient } from './clients/raw.js';
import { describeRoutes, newAccount } from './routes.js';

const absent = new Map(MATRIX.map((client) => [client, client.missing()]));
const strict = Boolean(process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS);
for (const reason of absent.values()) if (reason && strict) throw new Error(reason);

const folder = mkdtempSync(join(tmpdir(), 'interstanza-matrix-'));
beforeAll(() => {
  for (const [client, reason] of absent) if (!reason) client.prepare?.(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describeRoutes('client matrix', (route) => {
  const { server, via } = route;
  const managed = server.has.sm || via === 'proxy';
  const rows = MATRIX.flatMap((client) => client.tls.map((tls) => ({ client, name: client.name, tls })));
  const refused = ({ client }: { client: MatrixClient }) =>
    via === 'direct' && client.refusedBy?.[server.kind];
  const welcome = rows.filter((row) => !refused(row));

  let peer: Peer;
  beforeAll(async () => {
    peer = await Peer.arrive(route.plain, await newAccount(server, 'peer'));
  });
  afterAll(() => peer?.leave());

  // Once more: now and then one of them stumbles over itself at its end, in front of the server alone too.
  for (const { client, name, tls } of welcome.filter((row) => !row.client.speaksTo))
    test.skipIf(absent.get(client))(
      `${name} holds a conversation with ${tls} TLS`,
      { retry: 1 },
      async () => {
        const program = await run(client, tls, (part) => ({
          program: new Program(client.command(part, folder)),
          others: peer.answers(part),
        }));
        const { lines, output } = program;
        const steps = lines.filter((line) => line !== 'managed');
        expect(steps, output).toEqual(WHOLE_CONVERSATION);
        if (client.tellsManagement) expect(lines.includes('managed'), output).toBe(managed);
        expect(program.exit, output).toBe(0);
      },
    );

  for (const { client, name, tls } of welcome)
    for (const whom of client.speaksTo ?? [])
      test.skipIf(absent.get(client))(`${name} speaks to ${whom} with ${tls} TLS`, async () => {
        const toRoom = whom === 'a room';
        const { exit, output } = await run(client, tls, (part) => ({
          program: new Program(client.command(part, folder, toRoom)),
          others: toRoom ? peer.hearsInTheRoom(part) : peer.hears(part),
        }));
        expect(exit, output).toBe(0);
      });

  for (const { client, name, tls } of rows.filter(refused))
    test.skipIf(absent.get(client))(`${name} is refused with ${tls} TLS`, async () => {
      const program = new Program(client.command(await newPart(tls), folder));
      await program.finish(Promise.resolve());
      expect(program.output).toMatch(client.refusedBy?.[server.kind] ?? /^$/);
    });

  async function newPart(tls: Part['tls']): Promise<Part> {
    const account = await newAccount(server, 'matrix');
    const client = await RawClient.login(route.plain, account);
    await client.iq('set', "<query xmlns='jabber:iq:roster'><item jid='friend@example.org'/></query>");
    await client.close();
    const { host, port } = tls === 'direct' ? route.tls : route.plain;
    const room = await peer.opensRoom(server.muc);
    return { host, port, tls, account, jid: `${account.jid}/matrix`, peer: peer.jid, room, nick: 'client' };
  }

  async function run(
    client: MatrixClient,
    tls: Part['tls'],
    start: (part: Part) => { program: Program; others: Promise<unknown> },
  ): Promise<Program> {
    for (let attempt = 1; ; attempt += 1) {
      const { program, others } = start(await newPart(tls));
      try {
        await program.finish(others);
        return program;
      } catch (error) {
        // COMPAT: jabberd2 answers a fresh login now and then with the end of an earlier connection.
        const itsOwnDoing = client.racesWithItself === true && tls === 'starttls';
        const early = (server.kind === 'jabberd2' || itsOwnDoing) && !program.lines.includes('online');
        if (!early || attempt === 3) throw error;
      }
    }
  }
});
