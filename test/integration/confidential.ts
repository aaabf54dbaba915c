import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * What the proxies of a run may never write into their logs: passwords, payloads of authentication, ids by which sessions are resumed, and
 * bodies. Every client that says or is told such a thing notes it here; each proxy's log is looked through when the proxy goes. In a file,
 * because the proxies that all test files share belong to another process.
 */
const NOTES = 'INTERSTANZA_CONFIDENTIAL';

/** Shorter words stand in logs by chance. */
const WORD = /[\w+/=-]{10,}/g;
const PAYLOADS = /<(body|auth|response|initial-response)\b[^>]*>([^<]+)</g;

const noted = new Set<string>();

/** Begins the notes of a run. @returns what throws them away */
export function beginNotes(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'interstanza-confidential-'));
  process.env[NOTES] = join(folder, 'notes');
  return () => rmSync(folder, { recursive: true, force: true });
}

export function noteConfidential(text: string): void {
  const words = (text.match(WORD) ?? []).filter((word) => !noted.has(word));
  for (const word of words) noted.add(word);
  const file = process.env[NOTES];
  if (words.length > 0 && file !== undefined) appendFileSync(file, `${words.join('\n')}\n`);
}

/** Notes what is confidential in what a client says: not the addresses that it speaks of. */
export function notePayloads(xml: string): void {
  for (const [, , payload] of xml.matchAll(PAYLOADS)) {
    for (const text of payload!.split(' ')) if (!text.includes('@')) noteConfidential(text);
  }
}

/** @returns lines of a log that say what they must not */
export function indiscreet(log: readonly string[]): string[] {
  const file = process.env[NOTES];
  const all = file !== undefined && existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const confidential = new Set([...noted, ...all]);
  return log.filter((line) => (line.match(WORD) ?? []).some((word) => confidential.has(word)));
}
