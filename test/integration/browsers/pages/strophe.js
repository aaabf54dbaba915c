// A page around strophe.js, played by the tests through `page`.
import { $build, $iq, $msg, $pres, Strophe } from '/strophe.esm.js';

const heard = [];
const states = [];
let connection;

/** @param url ws://… or http://… */
function logIn(url, jid, password) {
  connection = new Strophe.Connection(url, { enableStreamManagement: url.startsWith('ws') });
  return connect(jid, password);
}

// Handlers do not outlive a connection.
function listen() {
  connection.addHandler(
    (stanza) => {
      const body = stanza.getElementsByTagName('body')[0]?.textContent;
      if (body) heard.push({ from: stanza.getAttribute('from'), type: stanza.getAttribute('type'), body });
      return true;
    },
    null,
    'message',
  );
}

function connect(jid, password) {
  return new Promise((resolve, reject) => {
    setTimeout(listen, 0);
    connection.connect(jid, password, (status, condition) => {
      states.push(status);
      if (status === Strophe.Status.CONNECTED) {
        connection.send($pres());
        connection.flush();
        resolve(connection.jid);
      } else if (status === Strophe.Status.AUTHFAIL || status === Strophe.Status.CONNFAIL)
        reject(new Error(`${condition}`));
      else if (status === Strophe.Status.DISCONNECTED && page.returns) {
        page.returns = false;
        setTimeout(() => connect(jid, password).then(() => (page.returned += 1)), 200);
      }
    });
  });
}

const ask = (iq) =>
  new Promise((resolve, reject) =>
    connection.sendIQ(iq, resolve, (error) => reject(new Error(error?.outerHTML ?? 'timeout'))),
  );

async function roster(contact) {
  await ask($iq({ type: 'set' }).c('query', { xmlns: Strophe.NS.ROSTER }).c('item', { jid: contact }));
  const answer = await ask($iq({ type: 'get' }).c('query', { xmlns: Strophe.NS.ROSTER }));
  return [...answer.getElementsByTagName('item')].map((item) => item.getAttribute('jid'));
}

function say(to, type, body) {
  connection.send($msg({ to, type }).c('body').t(body));
  connection.flush();
}

function join(room, nick) {
  connection.send($pres({ to: `${room}/${nick}` }).c('x', { xmlns: 'http://jabber.org/protocol/muc' }));
  connection.flush();
}

globalThis.page = {
  heard,
  states,
  returns: false,
  returned: 0,
  logIn,
  roster,
  say,
  join,
  resumed: () => connection.sm?.resumed === true,
  jid: () => connection.jid,
  leave: () => connection.disconnect('bye'),
};
void $build;
document.body.textContent = 'strophe.js';
globalThis.ready = true;
