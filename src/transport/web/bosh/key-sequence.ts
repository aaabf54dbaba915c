import { createHash } from 'node:crypto';
import type { BoshRequest } from './body.js';

/** That each request comes from who has sent the first, where the client wants to prove it (XEP-0124 §15). */
export class KeySequence {
  #next: string | undefined;

  /** @param request the first */
  constructor(request: BoshRequest) {
    this.#next = request.newKey?.toLowerCase();
  }

  /** Looks at the next request in order (XEP-0124 §15.4). */
  fits({ key, newKey }: BoshRequest): boolean {
    if (this.#next === undefined) {
      this.#next = newKey?.toLowerCase();
      return true;
    }
    if (key === undefined || createHash('sha1').update(key).digest('hex') !== this.#next) return false;
    this.#next = (newKey ?? key).toLowerCase();
    return true;
  }
}
