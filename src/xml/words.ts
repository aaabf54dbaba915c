/*
 * Four bytes at a time over what needs no look: two to three times as fast as a table, on runs that are long enough.
 *
 * In each word, a byte has its top bit set afterwards if it is to be looked at: it had it before (no ASCII), or it
 * borrowed when 0x20 was taken off (a control character), or it was zero, being equal to what was searched for, when
 * 1 was taken off. A borrow can reach the next byte, but then the one below is to be looked at in any case.
 */
/** Of no buffer. */
export const NO_VIEW: DataView = new DataView(new ArrayBuffer(0));

const TOP = 0x80808080;
const ONES = 0x01010101;
const BLANKS = 0x20202020;
const AMPERSANDS = 0x26262626;
const LESSES = 0x3c3c3c3c;
/** `<` and `>` differ in this bit alone. */
const BUT_GREATER = 0xfdfdfdfd;

/**
 * Runs over character data in words.
 *
 * @returns a position before which there are only ASCII characters other than `<`, `>`, `&` and controls
 */
export function skipText(view: DataView, from: number, end: number): number {
  let pos = from;
  for (const last = end - 4; pos <= last; pos += 4) {
    const v = view.getInt32(pos, true);
    const bracket = (v & BUT_GREATER) ^ LESSES;
    if (((v | (v - BLANKS) | (bracket - ONES) | ((v ^ AMPERSANDS) - ONES)) & TOP) !== 0) break;
  }
  return pos;
}

const APOSTROPHE = 0x27;
/** `&` and `'` differ in one bit, and so do `&` and `"`. */
const BUT_APOSTROPHE = 0xfefefefe;
const BUT_QUOTE = 0xfbfbfbfb;
const QUOTES = 0x22222222;

/**
 * Runs over the value of an attribute in words.
 *
 * @param quote the byte that ends the value
 * @returns a position before which there are only ASCII characters other than the quote, `<`, `&` and controls
 */
export function skipValue(view: DataView, from: number, end: number, quote: number): number {
  const mask = quote === APOSTROPHE ? BUT_APOSTROPHE : BUT_QUOTE;
  const wanted = quote === APOSTROPHE ? AMPERSANDS : QUOTES;
  let pos = from;
  for (const last = end - 4; pos <= last; pos += 4) {
    const v = view.getInt32(pos, true);
    const ends = (v & mask) ^ wanted;
    if (((v | (v - BLANKS) | (ends - ONES) | ((v ^ LESSES) - ONES)) & TOP) !== 0) break;
  }
  return pos;
}
