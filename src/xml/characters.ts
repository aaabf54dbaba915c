/** One byte per ASCII value: 1 where a scan may run on, 0 where it must look. Bytes from 0x80 up are always 0. */
function asciiTable(runsOn: (c: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, c) => (c < 0x80 && runsOn(c) ? 1 : 0));
}

const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x09 || c === 0x0d;
const isAsciiNameStart = (c: number): boolean =>
  (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a) || c === 0x5f;

/** Character data: all but `<`, `&`, `>` (could end `]]>`) and what is no character. */
export const TEXT = asciiTable((c) => (c >= 0x20 || isSpace(c)) && c !== 0x3c && c !== 0x26 && c !== 0x3e);

/** Inside CDATA: all but `>` and what is no character. */
export const CDATA = asciiTable((c) => (c >= 0x20 || isSpace(c)) && c !== 0x3e);

/** Inside an attribute value: all but quotes, `<`, `&` and white space that has to be normalised. */
export const VALUE = asciiTable((c) => c >= 0x20 && c !== 0x22 && c !== 0x27 && c !== 0x3c && c !== 0x26);

/** In a name, the colon excepted. */
export const NAME = asciiTable(
  (c) => isAsciiNameStart(c) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e,
);

/** First in a name. */
export const NAME_START = asciiTable(isAsciiNameStart);

/** White space as in XML 1.0 §2.3. */
export const SPACE = asciiTable(isSpace);

/** `characterLength`: the bytes are no UTF-8. */
export const INVALID_UTF8 = -1;
/** `characterLength`: UTF-8, but U+FFFE or U+FFFF, which are not in XML's Char. */
export const INVALID_CHAR = -2;

/**
 * How many bytes the character at `pos` has, the byte there being 0x80 or more (RFC 3629 §4, XML 1.0 §2.2).
 *
 * Judges what has arrived: an impossible second byte is reported without waiting for the third.
 *
 * @returns 2 to 4; 0 if more bytes are needed; `INVALID_UTF8` or `INVALID_CHAR`
 */
export function characterLength(buf: Uint8Array, pos: number, end: number): number {
  const lead = buf[pos]!;
  if (lead < 0xc2 || lead > 0xf4) return INVALID_UTF8;
  if (pos + 1 >= end) return 0;
  const second = buf[pos + 1]!;
  if ((second & 0xc0) !== 0x80) return INVALID_UTF8;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) {
    if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return INVALID_UTF8;
    if (pos + 2 >= end) return 0;
    const third = buf[pos + 2]!;
    if ((third & 0xc0) !== 0x80) return INVALID_UTF8;
    return lead === 0xef && second === 0xbf && third >= 0xbe ? INVALID_CHAR : 3;
  }
  if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return INVALID_UTF8;
  if (pos + 2 >= end) return 0;
  if ((buf[pos + 2]! & 0xc0) !== 0x80) return INVALID_UTF8;
  if (pos + 3 >= end) return 0;
  return (buf[pos + 3]! & 0xc0) === 0x80 ? 4 : INVALID_UTF8;
}

/** The code point of a character that `characterLength` has found to have `length` bytes. */
export function codePointAt(buf: Uint8Array, pos: number, length: number): number {
  if (length === 2) return ((buf[pos]! & 0x1f) << 6) | (buf[pos + 1]! & 0x3f);
  if (length === 3)
    return ((buf[pos]! & 0x0f) << 12) | ((buf[pos + 1]! & 0x3f) << 6) | (buf[pos + 2]! & 0x3f);
  return (
    ((buf[pos]! & 0x07) << 18) |
    ((buf[pos + 1]! & 0x3f) << 12) |
    ((buf[pos + 2]! & 0x3f) << 6) |
    (buf[pos + 3]! & 0x3f)
  );
}

/** NameStartChar beyond ASCII (XML 1.0, fifth edition, §2.3). */
export function isNameStart(c: number): boolean {
  return (
    (c >= 0xc0 && c <= 0x2ff && c !== 0xd7 && c !== 0xf7) ||
    (c >= 0x370 && c <= 0x1fff && c !== 0x37e) ||
    c === 0x200c ||
    c === 0x200d ||
    (c >= 0x2070 && c <= 0x218f) ||
    (c >= 0x2c00 && c <= 0x2fef) ||
    (c >= 0x3001 && c <= 0xd7ff) ||
    (c >= 0xf900 && c <= 0xfdcf) ||
    (c >= 0xfdf0 && c <= 0xfffd) ||
    (c >= 0x10000 && c <= 0xeffff)
  );
}

/** NameChar beyond ASCII (XML 1.0, fifth edition, §2.3). */
export function isNameChar(c: number): boolean {
  return isNameStart(c) || c === 0xb7 || (c >= 0x300 && c <= 0x36f) || c === 0x203f || c === 0x2040;
}

/** Char (XML 1.0 §2.2): what a character reference may stand for. */
export function isChar(c: number): boolean {
  return (
    (c >= 0x20 && c <= 0xd7ff) ||
    c === 0x0a ||
    c === 0x09 ||
    c === 0x0d ||
    (c >= 0xe000 && c <= 0xfffd) ||
    (c >= 0x10000 && c <= 0x10ffff)
  );
}

/** Whether `buf[start..end)` is nothing but white space (XML 1.0 §2.3 S). */
export function isWhitespace(buf: Uint8Array, start: number, end: number): boolean {
  for (let pos = start; pos < end; pos++) if (SPACE[buf[pos]!] === 0) return false;
  return true;
}
