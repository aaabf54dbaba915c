import { bare, prepareJid } from '../../jid.js';

/** Which rooms a configuration means: bare JIDs in which `*` stands for any number of any characters. */
export class RoomPatterns {
  readonly #patterns: readonly (readonly string[])[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map((pattern) => {
      // A name without wildcard is compared like any address.
      const written = pattern.includes('*') ? pattern.toLowerCase() : (prepareJid(bare(pattern)) ?? pattern);
      return written.split('*');
    });
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /** @param room prepared bare JID */
  has(room: string): boolean {
    return this.#patterns.some((parts) => fits(room, parts));
  }
}

/** Each part is looked for behind the one before, so that it is linear for each. */
function fits(text: string, parts: readonly string[]): boolean {
  const first = parts[0]!;
  const last = parts.at(-1)!;
  if (parts.length === 1) return text === first;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
