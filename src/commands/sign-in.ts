import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { Element } from 'ltx';
import { NS } from '../xml/namespaces.js';
import type { InitiatingStream } from './initiating-stream.js';

/** Who signs in. The password is in memory for as long as this object is, and nowhere else. */
export interface Credentials {
  readonly local: string;
  readonly password: string;
}

/** The server has refused, or has proved not to know the password; the message is a clause. */
export class SignInRefused extends Error {
  override readonly name = 'SignInRefused';
}

/** More rounds than this are a way to keep us busy, not a way to keep a password. */
const MOST_ROUNDS = 1_000_000;

const derive = promisify(pbkdf2);

/**
 * Authenticates with SCRAM-SHA-1 (RFC 5802), or with PLAIN where that is all there is and the password cannot be overheard. A new
 * stream is due afterwards.
 * @param mechanisms what the server offers
 * @param isPrivate whether nobody else can read the connection: TLS, or loopback
 * @throws SignInRefused, StreamProblem
 */
export async function signIn(
  stream: InitiatingStream,
  mechanisms: readonly string[],
  credentials: Credentials,
  isPrivate: boolean,
): Promise<'SCRAM-SHA-1' | 'PLAIN'> {
  if (mechanisms.includes('SCRAM-SHA-1')) {
    await scram(stream, credentials);
    return 'SCRAM-SHA-1';
  }
  if (!mechanisms.includes('PLAIN')) {
    throw new SignInRefused(`none of the mechanisms offered (${mechanisms.join(' ')}) is known here`);
  }
  if (!isPrivate) throw new SignInRefused('the server offers PLAIN only, which is not used without TLS');
  const { local, password } = credentials;
  const step = await exchange(stream, 'auth', `\0${local}\0${password}`, 'PLAIN');
  if (step.getName() !== 'success') throw new SignInRefused(refusal(step));
  return 'PLAIN';
}

async function scram(stream: InitiatingStream, { local, password }: Credentials): Promise<void> {
  const nonce = randomBytes(18).toString('base64');
  const name = local.replaceAll('=', '=3D').replaceAll(',', '=2C');
  const first = `n=${name},r=${nonce}`;
  // The gs2 flag `n`: no channel binding is known here, so a server that offers it has nothing to object to.
  const challenge = await exchange(stream, 'auth', `n,,${first}`, 'SCRAM-SHA-1');
  if (challenge.getName() !== 'challenge') throw new SignInRefused(refusal(challenge));
  const said = decode(challenge);
  const fields = new Map(said.split(',').map((field) => [field.slice(0, 1), field.slice(2)]));
  const both = fields.get('r') ?? '';
  const rounds = Number(fields.get('i'));
  const salt = Buffer.from(fields.get('s') ?? '', 'base64');
  if (!both.startsWith(nonce) || both === nonce) throw new SignInRefused('the server changed the nonce');
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MOST_ROUNDS) {
    throw new SignInRefused('the server asks for an absurd number of rounds');
  }
  const salted = await derive(password.normalize('NFKC'), salt, rounds, 20, 'sha1');
  const clientKey = hmac(salted, 'Client Key');
  const withoutProof = `c=biws,r=${both}`;
  const message = `${first},${said},${withoutProof}`;
  const proof = hmac(createHash('sha1').update(clientKey).digest(), message);
  for (let at = 0; at < proof.length; at += 1) proof[at] = proof[at]! ^ clientKey[at]!;
  const last = await exchange(stream, 'response', `${withoutProof},p=${proof.toString('base64')}`);
  if (last.getName() !== 'success') throw new SignInRefused(refusal(last));
  const signature = Buffer.from(decode(last).slice('v='.length), 'base64');
  const expected = hmac(hmac(salted, 'Server Key'), message);
  if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
    throw new SignInRefused('the server does not know the password it accepted');
  }
}

async function exchange(
  stream: InitiatingStream,
  name: 'auth' | 'response',
  payload: string,
  mechanism?: string,
): Promise<Element> {
  const chosen = mechanism === undefined ? '' : ` mechanism='${mechanism}'`;
  const base64 = Buffer.from(payload, 'utf8').toString('base64');
  stream.send(`<${name} xmlns='${NS.sasl}'${chosen}>${base64}</${name}>`);
  return stream.expect('the next step of authentication', (element) => element.getNS() === NS.sasl);
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha1', key).update(text).digest();
}

function decode(element: Element): string {
  return Buffer.from(element.getText(), 'base64').toString('utf8');
}

function refusal(step: Element): string {
  const conditions = step.getChildElements().map((child) => child.getName());
  const condition = conditions.find((name) => name !== 'text') ?? step.getName();
  return `the server answered ${condition}`;
}
