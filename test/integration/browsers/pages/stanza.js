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
  client.on('stream:management:resumed', () => {
    resumptions += 1;
    page.returned += 1;
  });
  return new Promise((resolve, reject) => {
    client.once('session:started', () => {
      client.sendPresence();
      resolve(client.jid);
    });
    client.once('auth:failed', () => reject(new Error('auth:failed')));
    client.connect();
  });
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
  resumed: () => resumptions > 0,
  jid: () => client.jid,
  leave: () => client.disconnect(),
};
document.body.textContent = 'stanza';
globalThis.ready = true;
