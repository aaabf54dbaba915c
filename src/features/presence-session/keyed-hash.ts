/** The two halves of what was hashed last, and of a key. */
export interface Hash64 {
  lo: number;
  hi: number;
}

/**
 * HalfSipHash-1-3 with 64 bits of output: nobody who does not know the key can make two texts of one hash, and it is fast where there are no
 * 64-bit numbers. (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF"; the 32-bit form of its reference code.)
 *
 * @param words the bytes @param key0 of the key @param key1 of the key
 * @param out gets the result, as signed numbers
 */
export function keyedHash(
  words: DataView,
  start: number,
  end: number,
  key0: number,
  key1: number,
  out: Hash64,
): void {
  let v0 = key0 | 0;
  let v1 = key1 ^ 0xee;
  let v2 = key0 ^ 0x6c796765;
  let v3 = key1 ^ 0x74656462;
  let at = start;
  for (const whole = end - 3; at < whole; at += 4) {
    const word = words.getInt32(at, true);
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  let last = (end - start) << 24;
  for (let shift = 0; at < end; at++, shift += 8) last |= words.getUint8(at) << shift;
  v3 ^= last;
  for (let round = 0; round < 7; round++) {
    // One for the last word, three for each half.
    if (round === 1) {
      v0 ^= last;
      v2 ^= 0xee;
    } else if (round === 4) {
      out.lo = v1 ^ v3;
      v1 ^= 0xdd;
    }
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  out.hi = v1 ^ v3;
}
