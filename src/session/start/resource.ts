import { createHash } from 'node:crypto';
import { parseJid } from '../../jid.js';

const LONGEST_TAG = 128;
/** 60 bits: enough that two devices of an account never meet, and short enough for a roster. */
const DIGITS = 10;

/** What a resource is made from. */
export interface ResourceSource {
  readonly domain: string;
  /** The account as the client's stream header names it, which is only a hint. */
  readonly from: string | undefined;
  readonly tag: string | undefined;
  readonly userAgent: string | undefined;
}

/**
 * The resource for a client that binds by XEP-0386 §4.2.1: its tag and an identifier, which is the same each time for one
 * installation. The id of the installation does not show in it, and two accounts on one installation do not look alike.
 * @param randomId for a client that does not say which installation it is
 */
export function resourceFor(source: ResourceSource, randomId: () => string): string {
  const { domain, from, tag, userAgent } = source;
  const identifier =
    userAgent === undefined
      ? randomId()
      : createHash('sha256')
          .update(JSON.stringify(['resource', domain, from ?? '', tag ?? '', userAgent]))
          .digest('base64url');
  const short = identifier.replace(/[^A-Za-z0-9]/g, '').slice(0, DIGITS);
  if (tag === undefined || tag.length > LONGEST_TAG) return short;
  const tagged = `${tag}/${short}`;
  return parseJid(`a@${domain}/${tagged}`) === undefined ? short : tagged;
}
