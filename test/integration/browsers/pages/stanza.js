// A page around stanza, played by the tests through `page`; bundled when it is served.
import { createClient } from 'stanza';

const heard = [];
let client;
let resumptions = 0;

/** @param url ws://… or http://… */
function logIn(url, jid, password) {
  const websocket = url.startsWith('ws') ? url : false;
  client = createClient({
    jid,
    password,
    transports: { websocket, bosh: websocket === false ? url : false },
    autoReconnect: true,
    useStreamManagement: true,
  });
  // COMPAT: stanza's DIGEST-MD5, which it prefers to PLAIN, is refused by jabberd2, with and without a proxy.
  client.sasl.disable('DIGEST-MD5');
  client.on('message', ({ from, type, body }) => body && heard.push({ from, type, body }));
  client.on('bosh:terminate', releaseWrites);
  client.on('stream:management:resumed', () => {
    resumptions += 1;
    page.returned += 1;
  });
  return new Promise((resolve, reject) => {
    client.once('session:started', () => client.sendPresence());
    // It asks for stream management behind that, and can come back once it is answered.
    client.on('sm', ({ type }) => type === 'enabled' && resolve(client.jid));
    client.once('auth:failed', () => reject(new Error('auth:failed')));
    client.connect();
  });
}

/**
 * COMPAT: stanza comes back only when all that it has written is sent, and sends nothing any more once its BOSH session has ended: with anything
 * on its way it waits for ever. What is not acknowledged is sent again anyway when the session is resumed.
 */
function releaseWrites() {
  const { transport } = client;
  transport._write = (_chunk, _encoding, done) => done();
  transport._writev = (_chunks, done) => done();
  for (const [, done] of transport.queue.splice(0)) done();
}

async function roster(contact) {
  await client.updateRosterItem({ jid: contact });
  const { items } = await client.getRoster();
  return items.map(({ jid }) => jid);
}

globalThis.page = {
  heard,
  returned: 0,
  logIn,
  roster,
  say: (to, type, body) => void client.sendMessage({ to, type, body }),
  join: (room, nick) => void client.joinRoom(room, nick).catch(() => {}),
  sayWhenEnded: (to, body) => void client.once('bosh:terminate', () => page.say(to, 'chat', body)),
  resumed: () => resumptions > 0,
  jid: () => client.jid,
  leave: () => client.disconnect(),
};
document.body.textContent = 'stanza';
globalThis.ready = true;
