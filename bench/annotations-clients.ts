import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { Connection } from './connection.js';

/*
 * Clients that understand presence state annotations, and count those they are shown.
 *
 *   node --import tsx bench/annotations-clients.ts PORT COUNT
 *
 * Prints {"ready":COUNT} when all have logged in and been asked what they can do, and tells its parent twice a second what it has counted.
 */

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const AT_ONCE = 20;
const NODE = 'urn:example:aware';
const VER = createHash('sha1').update('client/pc//aware<urn:xmpp:psa<').digest('base64');
const QUERY = `<query xmlns='http://jabber.org/protocol/disco#info' node='${NODE}#${VER}'><identity category='client' type='pc' name='aware'/><feature var='urn:xmpp:psa'/></query>`;
const PRESENCE = `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='${NODE}' ver='${VER}'/></presence>`;
const LONGEST_MARK = 200;

const counted = { presences: 0, unavailable: 0, restored: 0, most: 0 };
/** Annotations in the present tick of the proxy's clock. */
let inTick = 0;

function occurrences(text: string, what: string): number {
  let found = 0;
  for (let at = text.indexOf(what); at !== -1; at = text.indexOf(what, at + what.length)) found += 1;
  return found;
}

async function logIn(n: number): Promise<void> {
  const connection = await Connection.open(port, 'off', `aware-${n}`);
  let rest = '';
  connection.onChunk = (chunk) => {
    const text = rest + chunk.toString('latin1');
    // Whole stanzas only: what is left waits for the next chunk.
    const end = Math.max(text.lastIndexOf('</presence>'), text.lastIndexOf('</iq>'));
    const whole = end === -1 ? '' : text.slice(0, end + LONGEST_MARK).slice(0, text.indexOf('>', end) + 1);
    rest = text.slice(whole.length);
    const asked = /<iq [^>]*id='([^']+)'[^>]*><query xmlns='http:\/\/jabber.org\/protocol\/disco#info'/.exec(
      whole,
    );
    if (asked !== null) connection.send(Buffer.from(`<iq type='result' id='${asked[1]}'>${QUERY}</iq>`));
    counted.presences += occurrences(whole, '<presence ');
    const unavailable = occurrences(whole, '<server-unavailable/>');
    const all = occurrences(whole, "<state-annotation xmlns='urn:xmpp:psa'");
    counted.unavailable += unavailable;
    counted.restored += all - unavailable;
    inTick += all;
  };
  connection.send(Buffer.from(PRESENCE));
}

let next = 0;
async function logInSome(): Promise<void> {
  while (next < count) await logIn(next++);
}

await Promise.all(Array.from({ length: AT_ONCE }, logInSome));
setInterval(() => {
  counted.most = Math.max(counted.most, inTick);
  inTick = 0;
}, 250);
setInterval(() => process.send?.(counted), 500);
process.on('disconnect', () => process.exit());
console.log(JSON.stringify({ ready: count }));
