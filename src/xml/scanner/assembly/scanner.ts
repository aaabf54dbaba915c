// The quick way over whole, ordinary stanzas. AssemblyScript, compiled into ../code.ts by `npm run build:scanner`.
//
// It judges nothing: whatever is out of the ordinary, wrong or merely rare, makes it return 0, and the state machine
// (element-reader.ts) reads the stanza again from its `<`. What it does accept it records as the state machine would.
// The bytes are followed by a zero, which no rule lets pass: so nothing here asks whether the input is over.

// Where things are in the memory; the same numbers as in ../scanner.ts.
const RESULT: usize = 512;
const STACK: usize = 1024;
const TAG_ATTRIBUTES: usize = 2048;
const ROOT_ATTRIBUTES: usize = 4096;
const CHILDREN: usize = 5120;
const NAMESPACES: usize = 8192;

// What it takes on; more is the state machine's business.
const MOST_DEPTH: u32 = 16;
const MOST_ATTRIBUTES: u32 = 16;
const MOST_CHILDREN: u32 = 64;

const A_SIZE: usize = 24;
const C_SIZE: usize = 32;
const E_SIZE: usize = 32;
const SLOT: usize = 16;
const SLOT_MASK: u32 = 511;

const NAME: u8 = 1;
const NAME_START: u8 = 2;

const NEEDS_DECODING: i32 = 1;
const NON_ASCII: i32 = 2;
const DECLARATION: i32 = 4;

const CLIENT_ID: i32 = 1;
const STREAM_ID: i32 = 2;
const XML_ID: i32 = 3;
const XMLNS_ID: i32 = 4;

/** Every byte's class stands at its own address. */
function is(p: usize, kind: u8): bool {
  return (load<u8>(<usize>load<u8>(p)) & kind) != 0;
}

/** To the first byte that is `quote`, `<`, `&`, a control character or not ASCII. */
function skip(from: usize, quote: u8): usize {
  let p = from;
  const quotes = i8x16.splat(quote);
  const less = i8x16.splat(0x3c);
  const ampersands = i8x16.splat(0x26);
  const blanks = i8x16.splat(0x20);
  while (true) {
    const v = v128.load(p);
    // Signed, a byte from 0x80 up is negative: one comparison finds it and the control characters.
    const found = i8x16.bitmask(
      v128.or(
        v128.or(i8x16.eq(v, quotes), i8x16.eq(v, less)),
        v128.or(i8x16.eq(v, ampersands), i8x16.lt_s(v, blanks)),
      ),
    );
    if (found) return p + ctz(found);
    p += 16;
  }
}

/** How many bytes the character beyond ASCII at `p` has (RFC 3629 §4, XML 1.0 §2.2); 0 if it is none. */
function characterLength(p: usize): usize {
  const lead = load<u8>(p);
  const second = load<u8>(p + 1);
  if (lead < 0xc2 || (second & 0xc0) != 0x80) return 0;
  if (lead < 0xe0) return 2;
  const third = load<u8>(p + 2);
  if ((third & 0xc0) != 0x80) return 0;
  if (lead < 0xf0) {
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f)) return 0;
    return lead == 0xef && second == 0xbf && third >= 0xbe ? 0 : 3;
  }
  if (lead > 0xf4 || (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) return 0;
  return (load<u8>(p + 3) & 0xc0) == 0x80 ? 4 : 0;
}

/** How many bytes the predefined entity at `p` has, `&` and `;` included; 0 if it is something else. */
function entityLength(p: usize): usize {
  const c = load<u8>(p + 1);
  const d = load<u8>(p + 2);
  if (d == 0) return 0;
  if (c == 0x61) {
    if (d == 0x6d) return load<u8>(p + 3) == 0x70 && load<u8>(p + 4) == 0x3b ? 5 : 0;
    // `pos;` and `uot;` in the order of the bytes in memory.
    return d == 0x70 && load<u8>(p + 3) == 0x6f && load<u8>(p + 4) == 0x73 && load<u8>(p + 5) == 0x3b ? 6 : 0;
  }
  if (c == 0x71)
    return d == 0x75 && load<u8>(p + 3) == 0x6f && load<u8>(p + 4) == 0x74 && load<u8>(p + 5) == 0x3b ? 6 : 0;
  if (c == 0x6c || c == 0x67) return d == 0x74 && load<u8>(p + 3) == 0x3b ? 4 : 0;
  return 0;
}

function same(a: usize, b: usize, length: usize): bool {
  let i: usize = 0;
  for (; i + 8 <= length; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
  for (; i < length; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}

function slotOf(start: usize, length: u32): u32 {
  const end = start + length;
  return (
    (length * 7 +
      <u32>load<u8>(end - 1) * 31 +
      <u32>load<u8>(end - ((length >> 2) + 1)) * 131 +
      <u32>load<u8>(start + (length >> 1)) * 67) &
    SLOT_MASK
  );
}

/** The number of the namespace whose name stands at `start`; 0 if it is not in the table. */
function namespaceOf(start: usize, length: u32): i32 {
  let slot = slotOf(start, length);
  while (true) {
    const at = NAMESPACES + <usize>slot * SLOT;
    const id = load<i32>(at);
    if (id == 0) return 0;
    if (load<u32>(at + 4) == length && same(start, load<u32>(at + 8), length)) return id;
    slot = (slot + 1) & SLOT_MASK;
  }
}

/** Takes up a name of the table that stands at `start` for good. */
export function addNamespace(start: usize, length: u32, id: i32): void {
  let slot = slotOf(start, length);
  while (load<i32>(NAMESPACES + <usize>slot * SLOT) != 0) slot = (slot + 1) & SLOT_MASK;
  const at = NAMESPACES + <usize>slot * SLOT;
  store<i32>(at, id);
  store<u32>(at + 4, length);
  store<u32>(at + 8, <u32>start);
}

/** Whether the attribute name at `start` is already among those of the tag. */
function isRepeated(start: usize, length: u32, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const at = TAG_ATTRIBUTES + i * 8;
    if (load<u32>(at + 4) == length && same(start, load<u32>(at), length)) return true;
  }
  return false;
}

/** The three stanzas of jabber:client by their names. */
function kindOf(name: usize, length: u32): i32 {
  // `message`, `presence` and `iq`, as little-endian words.
  if (length == 7) return load<u32>(name) == 0x7373656d && load<u32>(name + 3) == 0x65676173 ? 1 : 0;
  if (length == 8) return load<u64>(name) == 0x65636e6573657270 ? 2 : 0;
  return length == 2 && load<u16>(name) == 0x7169 ? 3 : 0;
}

/**
 * Reads the stanza whose `<` is at `base`.
 *
 * @param inherited the number (context.ts) of the declaration that makes jabber:client the default namespace
 * @returns behind its last `>`, its records being in memory; 0: leave it to the state machine
 */
export function scan(base: usize, inherited: i32): usize {
  let p = base;
  let depth: u32 = 0;
  let children: u32 = 0;
  while (true) {
    // At a `<`.
    if (load<u8>(p + 1) == 0x2f) {
      if (depth == 0) return 0;
      const tag = p;
      const top = STACK + <usize>(depth - 1) * E_SIZE;
      const length = <usize>load<u32>(top + 4);
      p += 2;
      if (!same(p, <usize>load<u32>(top), length) || load<u8>(p + length) != 0x3e) return 0;
      p += length + 1;
      depth--;
      if (depth == 1) store<i32>(load<u32>(top + 20) + 4, <i32>(p - base));
      else if (depth == 0) {
        store<u32>(RESULT, children);
        store<i32>(RESULT + 16, <i32>(tag - base));
        return p;
      }
    } else {
      const tag = p;
      p++;
      if (!is(p, NAME_START) || depth == MOST_DEPTH) return 0;
      const name = p;
      do p++;
      while (is(p, NAME));
      const nameEnd = p;
      let attributes: u32 = 0;
      let seen: u32 = 0;
      let namespace = CLIENT_ID;
      let uri = inherited;
      let uriEnd = 0;
      if (depth != 0) {
        const parent = STACK + <usize>(depth - 1) * E_SIZE;
        namespace = load<i32>(parent + 8);
        uri = load<i32>(parent + 12);
        uriEnd = load<i32>(parent + 16);
      }
      let empty = false;
      while (true) {
        let c = load<u8>(p);
        if (c == 0x20) {
          do p++;
          while (load<u8>(p) == 0x20);
          c = load<u8>(p);
          if (c != 0x3e && c != 0x2f) {
            if (!is(p, NAME_START) || attributes == MOST_ATTRIBUTES) return 0;
            const start = p;
            let local = p;
            do p++;
            while (is(p, NAME));
            if (load<u8>(p) == 0x3a) {
              if (
                p - start != 3 ||
                load<u8>(start) != 0x78 ||
                load<u8>(start + 1) != 0x6d ||
                load<u8>(start + 2) != 0x6c
              )
                return 0;
              p++;
              local = p;
              if (!is(p, NAME_START)) return 0;
              do p++;
              while (is(p, NAME));
            }
            const length = <u32>(p - start);
            // Names that are equal have the same bit, so that nearly every tag is known to have none.
            const bit: u32 = 1 << ((length + <u32>load<u8>(start) * 5) & 31);
            if ((seen & bit) != 0 && isRepeated(start, length, attributes)) return 0;
            seen |= bit;
            store<u32>(TAG_ATTRIBUTES + attributes * 8, <u32>start);
            store<u32>(TAG_ATTRIBUTES + attributes * 8 + 4, length);
            if (load<u8>(p) != 0x3d) return 0;
            const quote = load<u8>(p + 1);
            if (quote != 0x27 && quote != 0x22) return 0;
            p += 2;
            const value = p;
            let flags = 0;
            while (true) {
              p = skip(p, quote);
              const stop = load<u8>(p);
              if (stop == quote) break;
              if (stop >= 0x80) {
                const size = characterLength(p);
                if (size == 0) return 0;
                p += size;
                flags |= NON_ASCII;
              } else if (stop == 0x26) {
                const size = entityLength(p);
                if (size == 0) return 0;
                p += size;
                flags |= NEEDS_DECODING;
              } else return 0;
            }
            // `xmlns`: not on the root of a stream, nor of a reserved name, nor empty or padded.
            if (length == 5 && load<u32>(start) == 0x6e6c6d78 && load<u8>(start + 4) == 0x73) {
              if (flags != 0 || value == p || load<u8>(value) == 0x20 || load<u8>(p - 1) == 0x20) return 0;
              namespace = namespaceOf(value, <u32>(p - value));
              if (namespace == XML_ID || namespace == XMLNS_ID) return 0;
              uri = <i32>(value - base);
              uriEnd = <i32>(p - base);
              flags = DECLARATION;
            }
            if (depth == 0) {
              const at = ROOT_ATTRIBUTES + <usize>attributes * A_SIZE;
              store<i32>(at, <i32>(start - base));
              store<i32>(at + 4, <i32>(local - base));
              store<i32>(at + 8, <i32>(start - base) + <i32>length);
              store<i32>(at + 12, <i32>(value - base));
              store<i32>(at + 16, <i32>(p - base));
              store<i32>(at + 20, flags);
            }
            attributes++;
            p++;
            continue;
          }
        }
        if (c == 0x3e) {
          p++;
          break;
        }
        if (c != 0x2f || load<u8>(p + 1) != 0x3e) return 0;
        p += 2;
        empty = true;
        break;
      }
      let child: usize = 0;
      if (depth == 0) {
        // `<stream/>` inside a stream is an error of its own.
        if (namespace == STREAM_ID) return 0;
        store<u32>(RESULT + 4, attributes);
        store<i32>(RESULT + 8, <i32>(nameEnd - base));
        store<i32>(RESULT + 12, <i32>(p - base));
        store<i32>(RESULT + 20, namespace);
        store<i32>(RESULT + 24, uri);
        store<i32>(RESULT + 28, uriEnd);
        store<i32>(RESULT + 32, namespace == CLIENT_ID ? kindOf(name, <u32>(nameEnd - name)) : 0);
        if (empty) {
          store<u32>(RESULT, 0);
          store<i32>(RESULT + 16, <i32>(p - base));
          return p;
        }
      } else if (depth == 1) {
        if (children == MOST_CHILDREN) return 0;
        child = CHILDREN + <usize>children * C_SIZE;
        children++;
        store<i32>(child, <i32>(tag - base));
        store<i32>(child + 4, <i32>(p - base));
        store<i32>(child + 8, <i32>(name - base));
        store<i32>(child + 12, <i32>(nameEnd - base));
        store<i32>(child + 16, namespace);
        store<i32>(child + 20, uri);
        store<i32>(child + 24, uriEnd);
        store<i32>(child + 28, 0);
      }
      if (!empty) {
        const top = STACK + <usize>depth * E_SIZE;
        store<u32>(top, <u32>name);
        store<u32>(top + 4, <u32>(nameEnd - name));
        store<i32>(top + 8, namespace);
        store<i32>(top + 12, uri);
        store<i32>(top + 16, uriEnd);
        store<u32>(top + 20, <u32>child);
        depth++;
      }
    }
    // Character data, up to the next `<`.
    while (load<u8>(p) != 0x3c) {
      p = skip(p, 0x3e);
      const c = load<u8>(p);
      if (c == 0x3c) break;
      if (c >= 0x80) {
        do {
          const size = characterLength(p);
          if (size == 0) return 0;
          p += size;
        } while (load<u8>(p) >= 0x80);
      } else if (c == 0x0a || c == 0x09 || c == 0x0d) p++;
      else if (c == 0x26) {
        const size = entityLength(p);
        if (size == 0) return 0;
        p += size;
      } else if (c == 0x3e) {
        if (load<u8>(p - 1) == 0x5d && load<u8>(p - 2) == 0x5d) return 0;
        p++;
      } else return 0;
    }
  }
  // Never reached; the compiler does not see it.
  return 0;
}
