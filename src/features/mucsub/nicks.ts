import { parseJid } from '../../jid.js';

/** What resourceprep leaves out of a nick (RFC 3454 B.1). */
// biome-ignore lint/suspicious/noMisleadingCharacterClass: each of them goes by itself
const NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is ASCII stays as it is
const ASCII = /^[\u0000-\u007f]*$/u;

/**
 * A nick as nicks are compared here. COMPAT: Prosody, ejabberd and jabberd2 write nicks as resourceprep has them (RFC 6122 appendix B), of which
 * RFC 7622 has kept less: `ﬁ` comes back as `fi`.
 * @returns undefined when nothing is left of it
 */
export function prepareNick(nick: string): string | undefined {
  if (ASCII.test(nick)) return nick;
  const prepared = nick.replace(NOTHING, '').normalize('NFKC');
  return prepared === '' ? undefined : prepared === nick ? nick : prepared;
}

/** The same of the nick in an occupant's address; undefined where there is none. */
export function nickOf(occupant: string): string | undefined {
  const nick = parseJid(occupant)?.resource;
  return nick === undefined ? undefined : prepareNick(nick);
}
