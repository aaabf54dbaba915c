import { Buffer } from 'node:buffer';

/** A stanza that differs between those who get it only in whom it is addressed to. */
export class Template {
  readonly #parts: readonly Buffer[];
  /** Bytes of all parts. */
  readonly #size: number;

  /** @param marker stands where the address is to be, and nowhere else: unguessable, and the same when escaped */
  constructor(stanza: Buffer, marker: string) {
    const parts: Buffer[] = [];
    let size = 0;
    let from = 0;
    for (;;) {
      const at = stanza.indexOf(marker, from, 'latin1');
      const part = stanza.subarray(from, at < 0 ? stanza.length : at);
      parts.push(part);
      size += part.length;
      if (at < 0) break;
      from = at + marker.length;
    }
    this.#parts = parts;
    this.#size = size;
  }

  /** @param address as it stands in an attribute, see `addressBytes` */
  for(address: Buffer): Buffer {
    const parts = this.#parts;
    const out = Buffer.allocUnsafe(this.#size + (parts.length - 1) * address.length);
    out.set(parts[0]!, 0);
    let to = parts[0]!.length;
    for (let i = 1; i < parts.length; i++) {
      out.set(address, to);
      to += address.length;
      const part = parts[i]!;
      out.set(part, to);
      to += part.length;
    }
    return out;
  }
}
