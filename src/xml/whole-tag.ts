import type { Buffer } from 'node:buffer';
import { NAME, NAME_START, VALUE } from './characters.js';
import type { ElementRecords } from './records.js';
import { skipValue } from './words.js';

const SPACE = 0x20;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const COLON = 0x3a;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const LOWER_L = 0x6c;
const LOWER_M = 0x6d;
const LOWER_X = 0x78;

/**
 * Reads a start tag the quick way: one that is there as a whole, in ASCII, with single spaces, without
 * references; that is, nearly every tag there is. It judges nothing: whatever is out of the ordinary, wrong or
 * merely rare, is left to the state machine, which reads the tag again from its `<`.
 *
 * @param pos where the `<` is
 * @returns behind the `>`, the attributes being noted in `records` and `tag` filled in; 0 if it is not such a tag
 */
export function readWholeTag(
  records: ElementRecords,
  tag: TagName,
  buf: Buffer,
  view: DataView,
  base: number,
  pos: number,
  end: number,
): number {
  const room = records.limits.attributes;
  let p = pos + 1;
  if (NAME_START[buf[p]!] === 0) return 0;
  let from = p;
  do p++;
  while (p < end && NAME[buf[p]!] === 1);
  let local = from;
  if (p < end && buf[p] === COLON) {
    local = ++p;
    if (p >= end || NAME_START[buf[p]!] === 0) return 0;
    do p++;
    while (p < end && NAME[buf[p]!] === 1);
  }
  tag.name = from - base;
  tag.local = local - base;
  tag.nameEnd = p - base;
  // Two more bytes at every turn: `/>`, or an attribute.
  while (p + 1 < end) {
    const c = buf[p]!;
    if (c === GREATER) return p + 1;
    if (c === SLASH && buf[p + 1] === GREATER) return p + 2;
    if (c !== SPACE || NAME_START[buf[p + 1]!] === 0 || records.attributeCount >= room)
      return abandon(records);
    from = ++p;
    do p++;
    while (p < end && NAME[buf[p]!] === 1);
    local = from;
    if (p < end && buf[p] === COLON) {
      local = ++p;
      if (p >= end || NAME_START[buf[p]!] === 0) return abandon(records);
      do p++;
      while (p < end && NAME[buf[p]!] === 1);
    }
    const nameEnd = p;
    if (p + 1 >= end || buf[p] !== EQUALS) return abandon(records);
    const quote = buf[p + 1]!;
    if (quote !== APOSTROPHE && quote !== QUOTE) return abandon(records);
    p += 2;
    const value = p;
    p = skipValue(view, p, end, quote);
    while (p < end && VALUE[buf[p]!] === 1) p++;
    if (p >= end || buf[p] !== quote) return abandon(records);
    records.addAttribute(
      from - base,
      local - base,
      nameEnd - base,
      value - base,
      p - base,
      0,
      buf[from]!,
      local !== from && !isXml(buf, from, local),
    );
    p++;
  }
  if (p + 1 === end && buf[p] === GREATER) return end;
  return abandon(records);
}

function abandon(records: ElementRecords): 0 {
  records.clearAttributes();
  return 0;
}

/** Where the name of a tag stands, relative to the stanza. */
export interface TagName {
  name: number;
  local: number;
  nameEnd: number;
}

/** Whether the prefix that ends in front of `local` is `xml`. */
function isXml(buf: Buffer, from: number, local: number): boolean {
  return (
    local - from === 4 && buf[from] === LOWER_X && buf[from + 1] === LOWER_M && buf[from + 2] === LOWER_L
  );
}
