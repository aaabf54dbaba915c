import { expect } from 'vitest';
import type { Account, RawClient } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';

// What clients are seen to do over WebSocket and over BOSH alike.

export const chat = (to: string, body: string) =>
  `<message to='${to}' type='chat'><body>${body}</body></message>`;

export const resumed = (client: RawClient) =>
  client.expect('resumed', (element) => element.is('resumed', NS.sm));

/** The bodies that have come and that nobody has waited for. */
export const bodiesOf = (client: RawClient) =>
  client.stream.inbox.flatMap((element) =>
    element.name === 'message' ? (element.getChildText('body') ?? []) : [],
  );

export async function authenticated(client: RawClient, account: Account): Promise<RawClient> {
  await client.openStream();
  await client.authenticate(account);
  return client;
}

/** Makes a session available that can be resumed. @returns what it is resumed by */
export async function resumable(client: RawClient): Promise<string> {
  const enabled = await client.enableSm("resume='true'");
  client.send('<presence/>');
  await client.settle();
  return String(enabled.attrs.id);
}

/** Goes on, on another connection, with the session that `former` has left. */
export async function resume(client: RawClient, former: RawClient, id: string): Promise<RawClient> {
  client.jid = former.jid;
  client.send(`<resume xmlns='${NS.sm}' previd='${id}' h='${former.sm?.received ?? 0}'/>`);
  await resumed(client);
  return client;
}

/** After `resume`: the count goes on where the former connection has left it. */
export function goOnCounting(client: RawClient, former: RawClient, since: number): void {
  client.sm = {
    received: since + (former.sm?.received ?? 0),
    ...{ sent: 0, acknowledged: 0, answersRequests: true },
  };
}

/** @param count stanzas each way, all at once; and then large ones */
export async function muchIsSaid(alice: RawClient, bob: RawClient, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) alice.send(chat(bob.jid, `a${n}`));
  for (let n = 0; n < count; n += 1) bob.send(chat(alice.jid, `b${n}`));
  await alice.body(`b${count - 1}`, 20_000);
  await bob.body(`a${count - 1}`, 20_000);
  expect(bodiesOf(alice)).toEqual(Array.from({ length: count - 1 }, (_, n) => `b${n}`));
  const large = 'x'.repeat(50_000);
  alice.send(chat(bob.jid, large));
  await bob.body(large);
  bob.send(chat(alice.jid, large));
  await alice.body(large);
}

/** Nobody has seen the session end that was left and gone on with. */
export function sawNobodyLeave(client: RawClient): void {
  expect(client.stream.inbox.filter(({ attrs }) => attrs.type === 'unavailable')).toEqual([]);
}
