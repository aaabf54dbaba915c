import { Buffer } from 'node:buffer';

/** A value with a reference in it, or white space that is normalised: its bytes are not its meaning. */
export const NEEDS_DECODING = 1;
/** A value with bytes from 0x80 up. */
export const NON_ASCII = 2;

const PREDEFINED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/**
 * The value of an attribute as an application sees it: references replaced, white space normalised as for CDATA
 * attributes (XML 1.0 §2.11 and §3.3.3).
 *
 * @param start @param end the bytes between the quotes; they must have been accepted by the reader
 * @param flags what the reader noted about them: `NEEDS_DECODING`, `NON_ASCII`
 */
export function attributeValue(buf: Buffer, start: number, end: number, flags: number): string {
  if (flags === 0) return buf.toString('latin1', start, end);
  const raw = buf.toString('utf8', start, end);
  return (flags & NEEDS_DECODING) === 0 ? raw : normalise(raw);
}

function normalise(raw: string): string {
  let out = '';
  let from = 0;
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i);
    if (c === 0x26) {
      const semicolon = raw.indexOf(';', i);
      out += raw.slice(from, i) + reference(raw.slice(i + 1, semicolon));
      i = semicolon;
      from = i + 1;
    } else if (c === 0x0d || c === 0x0a || c === 0x09) {
      out += `${raw.slice(from, i)} `;
      // A line end of two characters is one line end, and so one space.
      if (c === 0x0d && raw.charCodeAt(i + 1) === 0x0a) i++;
      from = i + 1;
    }
  }
  return out + raw.slice(from);
}

function reference(name: string): string {
  if (name.charCodeAt(0) !== 0x23) return PREDEFINED[name] ?? '';
  const hexadecimal = name.charCodeAt(1) === 0x78;
  return String.fromCodePoint(Number.parseInt(name.slice(hexadecimal ? 2 : 1), hexadecimal ? 16 : 10));
}

/** Whether `buf[start..end)` is exactly the ASCII string, without making one. */
export function equalsAscii(buf: Uint8Array, start: number, end: number, ascii: string): boolean {
  if (end - start !== ascii.length) return false;
  for (let i = 0; i < ascii.length; i++) if (buf[start + i] !== ascii.charCodeAt(i)) return false;
  return true;
}

/** Whether `buf[start..end)` is exactly the string in UTF-8. */
export function equalsString(buf: Buffer, start: number, end: number, value: string): boolean {
  if (equalsAscii(buf, start, end, value)) return true;
  const first = value.charCodeAt(0);
  if (first < 0x80 && buf[start] !== first) return false;
  // An ASCII string has as many bytes as characters, so only others can still be equal.
  return end - start > value.length && Buffer.byteLength(value) === end - start
    ? buf.toString('utf8', start, end) === value
    : false;
}

/** Whether `a[start..end)` is what stands in `b` from `other` on. */
export function equalsBytes(
  a: Uint8Array,
  start: number,
  end: number,
  b: Uint8Array,
  other: number,
): boolean {
  for (let i = start, j = other; i < end; i++, j++) if (a[i] !== b[j]) return false;
  return true;
}
