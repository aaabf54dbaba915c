import { Buffer } from 'node:buffer';
import { writeFileSync } from 'node:fs';
import { SaxesParser } from 'saxes';
import { AFTER_AUTH } from '../src/xml/limits.js';
import { NamespaceTable, NS } from '../src/xml/namespaces.js';
import { Tokenizer } from '../src/xml/tokenizer.js';

/*
 * The tokenizer against saxes with namespaces on: CPU time of this process for the same chunks, in the same run,
 * in turns. saxes gets strings that were decoded beforehand and has handlers that do nothing, so it is
 * spared both the decoding of the bytes and the framing, which the tokenizer does.
 *
 *   npx tsx bench/tokenizer.ts [--json FILE]
 */

const HEADER =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='6ee7cbb9' xml:lang='en' " +
  "xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='example.org'>";

const CHAT_240 =
  "<message to='juliet@example.org/balcony' from='romeo@example.net/orchard' type='chat' id='ktx72v49' " +
  "xml:lang='en'><body>Art thou not Romeo, and a Montague? Neither, fair saint, if either thee dislike.</body>" +
  "<active xmlns='http://jabber.org/protocol/chatstates'/></message>";

const CHAT_330 =
  '<message xmlns="jabber:client" to="juliet@example.org/balcony" from="romeo@example.net/orchard" type="chat" ' +
  'id="8f0c4ad5-9a0b-4f3e-8b1e-2a7f8f7d5c11"><body>What’s in a name? That which we call a rose</body>' +
  '<active xmlns="http://jabber.org/protocol/chatstates"/><request xmlns="urn:xmpp:receipts"/>' +
  '<origin-id xmlns="urn:xmpp:sid:0" id="8f0c4ad5-9a0b"/></message>';

const MUC_PRESENCE_529 =
  "<presence xml:lang='en' to='hag66@shakespeare.example/pda' from='coven@chat.shakespeare.example/thirdwitch' " +
  "id='n13mt3l-7721'><show>away</show><status>stirring the cauldron, back in a while</status>" +
  "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://psi-im.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/>" +
  "<x xmlns='vcard-temp:x:update'><photo>89d9a4b3c5e8e0e33c9ae4a3b0c87b2d7f3c1d90</photo></x>" +
  "<x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='member' role='participant'/>" +
  "<status code='110'/></x></presence>";

const ROSTER = (() => {
  const item = (i: number): string =>
    `<item jid='contact${i}@example.org' name='Contact number ${i}' subscription='both'><group>Friends</group></item>`;
  const items = Array.from({ length: 50 }, (_, i) => item(i)).join('');
  return `<iq to='juliet@example.org/balcony' type='result' id='hu2bac18'><query xmlns='jabber:iq:roster' ver='ver11'>${items}</query></iq>`;
})();

const CORPUS: readonly [name: string, stanza: string][] = [
  ['chat 240 B', CHAT_240],
  ['chat 330 B', CHAT_330],
  ['MUC presence 529 B', MUC_PRESENCE_529],
  ['roster, 50 items', ROSTER],
];
const PER_CHUNK = [1, 20];
const BUFFERS = 16;
const ROUNDS = 20;
const BYTES_PER_ROUND = 2_000_000;

const namespaces = new NamespaceTable(Object.values(NS));

interface Row {
  readonly stanza: string;
  readonly bytes: number;
  readonly perChunk: number;
  /** Megabytes (10⁶ bytes) per second of CPU time; the best of the rounds. */
  readonly tokenizer: number;
  readonly saxes: number;
  readonly ratio: number;
  /** Nanoseconds of CPU time per stanza. */
  readonly perStanza: number;
}

function cpuMicroseconds(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function measure(name: string, stanza: string, perChunk: number): Row {
  const text = stanza.repeat(perChunk);
  // Never the same buffer twice in a row, as from a socket.
  const buffers = Array.from({ length: BUFFERS }, () => Buffer.from(text));
  const { length } = buffers[0]!;
  const bytes = length / perChunk;
  const chunks = Math.ceil(BYTES_PER_ROUND / length);

  let stanzas = 0;
  const sink = { onHeader() {}, onStanza: () => void stanzas++, onClose() {} };
  const tokenizer = new Tokenizer(sink, { limits: AFTER_AUTH, origin: 'client', namespaces });
  tokenizer.push(Buffer.from(HEADER));
  const ours = (): void => {
    for (let i = 0; i < chunks; i++)
      if (tokenizer.push(buffers[i % BUFFERS]!) !== undefined) throw new Error('refused');
  };

  let elements = 0;
  const parser = new SaxesParser({ xmlns: true });
  parser.on('opentag', () => void elements++);
  parser.on('closetag', () => {});
  parser.on('text', () => {});
  parser.write(HEADER);
  const theirs = (): void => {
    for (let i = 0; i < chunks; i++) parser.write(text);
  };

  let best = Number.POSITIVE_INFINITY;
  let bestTheirs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    best = Math.min(best, cpuMicroseconds(ours));
    // In turns, so that both see the same machine.
    bestTheirs = Math.min(bestTheirs, cpuMicroseconds(theirs));
  }
  if (stanzas !== ROUNDS * chunks * perChunk || elements === 0) throw new Error('stanzas are missing');
  const total = chunks * length;
  return {
    stanza: name,
    bytes,
    perChunk,
    tokenizer: total / best,
    saxes: total / bestTheirs,
    ratio: bestTheirs / best,
    perStanza: (best * 1000) / (chunks * perChunk),
  };
}

const rows = CORPUS.flatMap(([name, stanza]) => PER_CHUNK.map((perChunk) => measure(name, stanza, perChunk)));
console.log('stanza                 bytes  per chunk  tokenizer MB/s  saxes MB/s  ratio  ns per stanza');
for (const row of rows) {
  console.log(
    [
      row.stanza.padEnd(20),
      String(row.bytes).padStart(7),
      String(row.perChunk).padStart(10),
      row.tokenizer.toFixed(0).padStart(15),
      row.saxes.toFixed(0).padStart(11),
      row.ratio.toFixed(1).padStart(6),
      row.perStanza.toFixed(0).padStart(14),
    ].join(' '),
  );
}

const json = process.argv.indexOf('--json');
if (json !== -1) {
  const file = process.argv[json + 1];
  if (file === undefined) throw new Error('--json needs a file');
  writeFileSync(file, `${JSON.stringify({ node: process.version, rows }, undefined, 2)}\n`);
}
