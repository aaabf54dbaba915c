import type { Element } from 'ltx';
import { bare, domain, prepareJid } from '../../../jid.js';
import { NS } from '../../../xml/namespaces.js';

/** What a room's lists are asked for. */
export const LISTS = ['owner', 'admin', 'member', 'outcast'] as const;

/** Of a room with longer lists it is not known who may hear it. */
const MOST = 20_000;

/** Who is what in a room (XEP-0045 §5.2), as far as its owner is told. */
export class Affiliations {
  readonly #of = new Map<string, string>();
  isTooLong = false;

  /** The answer to a query for one of the lists. */
  read(iq: Element): void {
    for (const item of iq.getChild('query', NS.mucAdmin)?.getChildren('item') ?? []) this.take(item);
  }

  /** What is said of somebody, in a list, a presence or a message. @returns whom it is about; undefined: nobody */
  take(item: Element): string | undefined {
    const { jid, affiliation } = item.attrs as Record<string, string | undefined>;
    const address = jid === undefined ? undefined : prepareJid(bare(jid));
    if (address === undefined || affiliation === undefined) return undefined;
    if (affiliation === 'none') this.#of.delete(address);
    else if (this.#of.size < MOST) this.#of.set(address, affiliation);
    else this.isTooLong = true;
    return address;
  }

  /** A whole domain may be kept out (XEP-0045 §9.1). */
  of(account: string): string {
    const own = this.#of.get(account);
    if (own !== undefined) return own;
    return this.#of.get(domain(account)) === 'outcast' ? 'outcast' : 'none';
  }
}
