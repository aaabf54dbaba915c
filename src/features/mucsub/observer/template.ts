import { Buffer } from 'node:buffer';
import { escapeAttribute } from '../../../xml/serialize.js';

/** A stanza that differs between those who get it only in whom it is addressed to. */
export class Template {
  readonly #parts: readonly Buffer[];

  /** @param marker stands where the address is to be, and nowhere else: unguessable, and the same when escaped */
  constructor(stanza: Buffer, marker: string) {
    const parts: Buffer[] = [];
    let from = 0;
    for (;;) {
      const at = stanza.indexOf(marker, from, 'latin1');
      parts.push(stanza.subarray(from, at < 0 ? stanza.length : at));
      if (at < 0) break;
      from = at + marker.length;
    }
    this.#parts = parts;
  }

  for(account: string): Buffer {
    const address = Buffer.from(escapeAttribute(account));
    const [first, ...rest] = this.#parts;
    return Buffer.concat([first!, ...rest.flatMap((part) => [address, part])]);
  }
}
