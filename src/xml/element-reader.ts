import type { Buffer } from 'node:buffer';
import {
  CDATA,
  characterLength,
  codePointAt,
  INVALID_UTF8,
  isChar,
  isNameChar,
  isNameStart,
  NAME,
  NAME_START,
  SPACE,
  TEXT,
  VALUE,
} from './characters.js';
import { instructionReason } from './declaration.js';
import { type XmlError, type XmlErrorReason, xmlError } from './errors.js';
import { STREAM_ID } from './namespaces.js';
import { ElementRecords, type ReadingRules } from './records.js';
import { digitValue, isPredefined } from './references.js';
import { equalsAscii, NEEDS_DECODING, NON_ASCII } from './values.js';
import { readWholeTag, type TagName } from './whole-tag.js';
import { NO_VIEW, skipText } from './words.js';

const LF = 0x0a;
const CR = 0x0d;
const TAB = 0x09;
const BANG = 0x21;
const QUOTE = 0x22;
const HASH = 0x23;
const AMPERSAND = 0x26;
const APOSTROPHE = 0x27;
const SLASH = 0x2f;
const COLON = 0x3a;
const SEMICOLON = 0x3b;
const LESS = 0x3c;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const QUESTION = 0x3f;
const BRACKET = 0x5d;
const LOWER_X = 0x78;

// Where the machine stands. A plain number per state: the switch over them is a jump table.
const START = 0;
const CONTENT = 1;
const MARKUP = 2;
const CDATA_SECTION = 3;
const ELEMENT_NAME = 4;
const ATTRIBUTE_NAME = 5;
const TAG = 6;
const TAG_SPACE = 7;
const BEFORE_EQUALS = 8;
const BEFORE_QUOTE = 9;
const ATTRIBUTE_VALUE = 10;
const CLOSE_NAME = 11;
const CLOSE_SPACE = 12;
const REFERENCE = 13;
const ENTITY = 14;
const DECIMAL = 15;
const HEXADECIMAL = 16;

const CDATA_OPEN = [LESS, BANG, 0x5b, 0x43, 0x44, 0x41, 0x54, 0x41, 0x5b] as const;
/** Records that a reader has room for from the start: more than a usual stanza needs. */
const ROOM = 12;
const BEYOND_UNICODE = 0x110000;

export const MORE = 0;
export const ELEMENT_END = 1;
export const HEADER_END = 2;
export const STREAM_END = 3;
export const FAILED = 4;
export type ReadStatus =
  | typeof MORE
  | typeof ELEMENT_END
  | typeof HEADER_END
  | typeof STREAM_END
  | typeof FAILED;

/**
 * Reads one element, byte by byte, from its `<` to its last `>` (XML 1.0, fifth edition; Namespaces in XML 1.0;
 * RFC 6120 §11). It can stop at any byte and go on when more has come: what it has read of the element must
 * then still stand in front, at the same distance from `base`.
 *
 * One function, because its inner loops are where the proxy spends its time: a call per byte or per token would
 * cost more than the work.
 */
export class ElementReader {
  readonly records: ElementRecords;
  status: ReadStatus = MORE;
  error: XmlError | undefined;
  private state = START;
  private viewed: Buffer | undefined;
  private header = false;
  private tag = 0;
  private name = 0;
  private local = 0;
  private nameEnd = 0;
  /** The name of the tag being read, while `name`, `local` and `nameEnd` go on to its attributes. */
  private readonly tagName: TagName = { name: 0, local: 0, nameEnd: 0 };
  private value = 0;
  private flags = 0;
  private quote = 0;
  private entity = 0;
  private matched = 0;
  private reference = 0;

  constructor(rules: ReadingRules) {
    this.records = new ElementRecords(ROOM, rules);
  }

  /** @param header only the start tag is read: that of the stream */
  begin(rules: ReadingRules, header: boolean): void {
    this.records.begin(rules);
    this.status = MORE;
    this.error = undefined;
    this.state = START;
    this.header = header;
  }

  /**
   * Reads on from `pos`, but not beyond `end`, the element having begun at `base`.
   *
   * @returns where it stopped: behind the last `>` if the status is `ELEMENT_END`, `HEADER_END` or `STREAM_END`;
   *   where to go on if it is `MORE`; anywhere if it is `FAILED`
   */
  read(buf: Buffer, base: number, from: number, end: number): number {
    const records = this.records;
    const view = this.viewOf(buf);
    let pos = from;
    let state = this.state;
    reading: for (;;) {
      switch (state) {
        case START:
          if (pos === base) {
            const tagEnd = this.readWholeRoot(buf, view, base, end);
            if (tagEnd !== 0) {
              pos = tagEnd;
              if (this.status !== MORE) return pos;
              state = CONTENT;
              continue;
            }
          }
          if (pos + 1 >= end) break reading;
          if (buf[pos + 1] === SLASH) {
            this.tag = pos - base;
            pos += 2;
            this.matched = 0;
            state = CLOSE_NAME;
            continue;
          }
          if (buf[pos + 1] === BANG) {
            state = MARKUP;
            continue;
          }
          if (buf[pos + 1] === QUESTION) {
            const reason = instructionReason(buf, pos, end);
            if (reason === undefined) break reading;
            return this.fail(reason, pos);
          }
          this.tag = pos - base;
          pos++;
          this.name = this.local = pos - base;
          state = ELEMENT_NAME;
          continue;

        case CONTENT: {
          if (pos >= end) break reading;
          if (buf[pos] !== LESS) {
            pos = skipText(view, pos, end);
            while (pos < end && TEXT[buf[pos]!] === 1) pos++;
            if (pos >= end) break reading;
          }
          const c = buf[pos]!;
          if (c === LESS) {
            const tagEnd = this.readWhole(buf, view, base, pos, end);
            if (tagEnd === 0) state = START;
            else {
              pos = tagEnd;
              if (this.status !== MORE) return pos;
            }
            continue;
          }
          if (c >= 0x80) {
            if (c < 0xe0 && c >= 0xc2 && pos + 1 < end && (buf[pos + 1]! & 0xc0) === 0x80) {
              pos += 2;
              continue;
            }
            const length = characterLength(buf, pos, end);
            if (length === 0) break reading;
            if (length < 0) return this.fail(length === INVALID_UTF8 ? 'invalid-utf8' : 'invalid-char', pos);
            pos += length;
          } else if (c === AMPERSAND) {
            pos++;
            this.quote = 0;
            state = REFERENCE;
          } else if (c === GREATER) {
            // Only text can end in `]`: the bytes in front of this one are all there is to remember.
            if (buf[pos - 1] === BRACKET && buf[pos - 2] === BRACKET)
              return this.fail('cdata-end-in-text', pos);
            pos++;
          } else return this.fail('invalid-char', pos);
          continue;
        }

        case MARKUP: {
          const length = Math.min(CDATA_OPEN.length, end - pos);
          for (let i = 2; i < length; i++) {
            if (buf[pos + i] === CDATA_OPEN[i]) continue;
            if (i > 2) return this.fail('malformed-markup', pos);
            if (buf[pos + 2] === 0x44) return this.fail('dtd', pos);
            if (buf[pos + 2] !== 0x2d) return this.fail('malformed-markup', pos);
            if (length === 3) break reading;
            return this.fail(buf[pos + 3] === 0x2d ? 'comment' : 'malformed-markup', pos);
          }
          if (length < CDATA_OPEN.length) break reading;
          if (records.depth === 0)
            return this.fail(this.header ? 'text-outside-stream' : 'text-between-stanzas', pos);
          pos += length;
          state = CDATA_SECTION;
          continue;
        }

        case CDATA_SECTION: {
          while (pos < end && CDATA[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          const c = buf[pos]!;
          if (c === GREATER) {
            if (buf[pos - 1] === BRACKET && buf[pos - 2] === BRACKET) state = CONTENT;
            pos++;
          } else if (c >= 0x80) {
            const length = characterLength(buf, pos, end);
            if (length === 0) break reading;
            if (length < 0) return this.fail(length === INVALID_UTF8 ? 'invalid-utf8' : 'invalid-char', pos);
            pos += length;
          } else return this.fail('invalid-char', pos);
          continue;
        }

        case ELEMENT_NAME:
        case ATTRIBUTE_NAME: {
          if (pos >= end) break reading;
          if (pos - base === this.local) {
            // At the start of a name, or of what follows its colon.
            if (buf[pos]! < 0x80 && NAME_START[buf[pos]!] === 0) return this.fail('invalid-name', pos);
          }
          while (pos < end && NAME[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          const c = buf[pos]!;
          if (c === COLON) {
            // Namespaces in XML 1.0 §3: at most one colon.
            if (this.local !== this.name) return this.fail('invalid-name', pos);
            pos++;
            this.local = pos - base;
            continue;
          }
          if (c >= 0x80) {
            const length = characterLength(buf, pos, end);
            if (length === 0) break reading;
            if (length < 0) return this.fail(length === INVALID_UTF8 ? 'invalid-utf8' : 'invalid-char', pos);
            const character = codePointAt(buf, pos, length);
            if (!(pos - base === this.local ? isNameStart(character) : isNameChar(character)))
              return this.fail('invalid-name', pos);
            pos += length;
            continue;
          }
          this.nameEnd = pos - base;
          if (state === ATTRIBUTE_NAME) {
            if (c === EQUALS) {
              pos++;
              state = BEFORE_QUOTE;
            } else state = BEFORE_EQUALS;
            continue;
          }
          if (c !== GREATER && c !== SLASH && SPACE[c] === 0) return this.fail('invalid-name', pos);
          this.tagName.name = this.name;
          this.tagName.local = this.local;
          this.tagName.nameEnd = this.nameEnd;
          state = TAG;
          continue;
        }

        case BEFORE_EQUALS:
          while (pos < end && SPACE[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          if (buf[pos] !== EQUALS) return this.fail('malformed-tag', pos);
          pos++;
          state = BEFORE_QUOTE;
          continue;

        case BEFORE_QUOTE: {
          while (pos < end && SPACE[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          const c = buf[pos]!;
          if (c !== APOSTROPHE && c !== QUOTE) return this.fail('malformed-tag', pos);
          pos++;
          this.quote = c;
          this.value = pos - base;
          this.flags = 0;
          state = ATTRIBUTE_VALUE;
          continue;
        }

        case ATTRIBUTE_VALUE: {
          while (pos < end && VALUE[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          const c = buf[pos]!;
          if (c === this.quote) {
            const error = records.addAttribute(
              this.name,
              this.local,
              this.nameEnd,
              this.value,
              pos - base,
              this.flags,
              buf[base + this.name]!,
              this.local !== this.name,
            );
            if (error !== undefined) return this.refuse(error, pos);
            pos++;
            state = TAG;
          } else if (c >= 0x80) {
            const length = characterLength(buf, pos, end);
            if (length === 0) break reading;
            if (length < 0) return this.fail(length === INVALID_UTF8 ? 'invalid-utf8' : 'invalid-char', pos);
            pos += length;
            this.flags |= NON_ASCII;
          } else if (c === AMPERSAND) {
            pos++;
            this.flags |= NEEDS_DECODING;
            state = REFERENCE;
          } else if (c === TAB || c === LF || c === CR) {
            pos++;
            this.flags |= NEEDS_DECODING;
          } else if (c === QUOTE || c === APOSTROPHE) pos++;
          else return this.fail(c === LESS ? 'less-than-in-attribute' : 'invalid-char', pos);
          continue;
        }

        case TAG:
        case TAG_SPACE: {
          if (pos >= end) break reading;
          let c = buf[pos]!;
          if (SPACE[c] === 1) {
            state = TAG_SPACE;
            do pos++;
            while (pos < end && SPACE[buf[pos]!] === 1);
            if (pos >= end) break reading;
            c = buf[pos]!;
          }
          const empty = c === SLASH;
          if (empty) {
            if (pos + 1 >= end) break reading;
            if (buf[pos + 1] !== GREATER) return this.fail('malformed-tag', pos);
            pos++;
          } else if (c !== GREATER) {
            // XML 1.0 §3.1: white space in front of each attribute.
            if (state === TAG) return this.fail('malformed-tag', pos);
            this.name = this.local = pos - base;
            state = ATTRIBUTE_NAME;
            continue;
          }
          pos++;
          this.open(buf, base, pos, empty);
          if (this.status !== MORE) return pos;
          state = CONTENT;
          continue;
        }

        case CLOSE_NAME: {
          let at: number;
          let length: number;
          let source: Buffer = buf;
          if (records.depth === 0) {
            source = records.context.rootName;
            at = 0;
            length = source.length;
            if (length === 0) return this.fail('mismatched-tag', pos);
          } else {
            at = records.openName;
            length = records.openNameEnd - at;
            at += base;
          }
          let matched = this.matched;
          while (matched < length && pos < end) {
            if (buf[pos] !== source[at + matched]) return this.fail('mismatched-tag', pos);
            matched++;
            pos++;
          }
          this.matched = matched;
          if (matched < length) break reading;
          state = CLOSE_SPACE;
          continue;
        }

        case CLOSE_SPACE: {
          if (pos >= end) break reading;
          if (buf[pos] !== GREATER) {
            if (SPACE[buf[pos]!] === 0) return this.fail('mismatched-tag', pos);
            do pos++;
            while (pos < end && SPACE[buf[pos]!] === 1);
            if (pos >= end) break reading;
            if (buf[pos] !== GREATER) return this.fail('mismatched-tag', pos);
          }
          pos++;
          if (records.depth === 0) {
            this.status = STREAM_END;
            return pos;
          }
          records.close(this.tag, pos - base);
          if (records.depth === 0) {
            this.status = ELEMENT_END;
            return pos;
          }
          state = CONTENT;
          continue;
        }

        case REFERENCE: {
          if (pos >= end) break reading;
          const c = buf[pos]!;
          this.reference = 0;
          if (c !== HASH) {
            this.entity = pos - base;
            state = ENTITY;
            continue;
          }
          if (pos + 1 >= end) break reading;
          const hexadecimal = buf[pos + 1] === LOWER_X;
          pos += hexadecimal ? 2 : 1;
          this.matched = 0;
          state = hexadecimal ? HEXADECIMAL : DECIMAL;
          continue;
        }

        case ENTITY: {
          if (pos >= end) break reading;
          const first = pos - base === this.entity;
          if (first && buf[pos]! < 0x80 && NAME_START[buf[pos]!] === 0)
            return this.fail('bare-ampersand', pos);
          while (pos < end && NAME[buf[pos]!] === 1) pos++;
          if (pos >= end) break reading;
          if (buf[pos]! >= 0x80) {
            const length = characterLength(buf, pos, end);
            if (length === 0) break reading;
            if (length < 0) return this.fail(length === INVALID_UTF8 ? 'invalid-utf8' : 'invalid-char', pos);
            const character = codePointAt(buf, pos, length);
            if (!(pos - base === this.entity ? isNameStart(character) : isNameChar(character)))
              return this.fail('bare-ampersand', pos);
            pos += length;
            continue;
          }
          if (buf[pos] !== SEMICOLON) return this.fail('bare-ampersand', pos);
          if (!isPredefined(buf, base + this.entity, pos)) return this.fail('undefined-entity', pos);
          pos++;
          state = this.quote === 0 ? CONTENT : ATTRIBUTE_VALUE;
          continue;
        }

        case DECIMAL:
        case HEXADECIMAL: {
          const radix = state === DECIMAL ? 10 : 16;
          let digit = -1;
          while (pos < end) {
            digit = digitValue(buf[pos]!);
            if (digit < 0 || digit >= radix) break;
            this.reference = Math.min(this.reference * radix + digit, BEYOND_UNICODE);
            this.matched++;
            pos++;
          }
          if (pos >= end) break reading;
          if (buf[pos] !== SEMICOLON || this.matched === 0 || !isChar(this.reference))
            return this.fail('invalid-char-reference', pos);
          pos++;
          state = this.quote === 0 ? CONTENT : ATTRIBUTE_VALUE;
          continue;
        }
      }
    }
    this.state = state;
    return pos;
  }

  /** A tag that is there as a whole, the quick way. Returns what is behind it; 0 if it takes the state machine. */
  private readWhole(buf: Buffer, view: DataView, base: number, pos: number, end: number): number {
    const { records } = this;
    if (pos + 2 >= end) return 0;
    this.tag = pos - base;
    if (buf[pos + 1] !== SLASH) {
      const tagEnd = readWholeTag(records, this.tagName, buf, view, base, pos, end);
      if (tagEnd !== 0) this.open(buf, base, tagEnd, buf[tagEnd - 2] === SLASH);
      return tagEnd;
    }
    let p = pos + 2;
    let name = base + records.openName;
    const tagEnd = p + records.openNameEnd - records.openName;
    if (tagEnd >= end || buf[tagEnd] !== GREATER) return 0;
    while (p < tagEnd) if (buf[p++] !== buf[name++]) return 0;
    records.close(pos - base, tagEnd + 1 - base);
    if (records.depth === 0) this.status = ELEMENT_END;
    return tagEnd + 1;
  }

  private readWholeRoot(buf: Buffer, view: DataView, base: number, end: number): number {
    this.tag = 0;
    const tagEnd = base + 2 < end ? readWholeTag(this.records, this.tagName, buf, view, base, base, end) : 0;
    if (tagEnd !== 0) this.open(buf, base, tagEnd, buf[tagEnd - 2] === SLASH);
    return tagEnd;
  }

  /** The bytes in words; made once per buffer. */
  private viewOf(buf: Buffer): DataView {
    if (buf !== this.viewed) {
      this.viewed = buf;
      this.records.view = new DataView(buf.buffer, buf.byteOffset, buf.byteLength);
    }
    return this.records.view;
  }

  /** Lets go of the buffer that was read last. */
  forget(): void {
    this.viewed = undefined;
    this.records.view = NO_VIEW;
  }

  /** The start tag is over at `pos`. */
  private open(buf: Buffer, base: number, pos: number, empty: boolean): void {
    const { records } = this;
    const { name, local, nameEnd } = this.tagName;
    const error = records.open(buf, base, this.tag, name, local, nameEnd, pos - base);
    if (error !== undefined) {
      this.refuse(error, pos);
      return;
    }
    if (records.depth === 1) {
      if (this.header) {
        this.status = HEADER_END;
        return;
      }
      if (
        records.rootNamespaceId === STREAM_ID &&
        equalsAscii(buf, base + records.rootLocal, base + records.rootNameEnd, 'stream')
      ) {
        this.fail('nested-stream', pos);
        return;
      }
    }
    if (!empty) return;
    records.close(pos - base, pos - base);
    if (records.depth === 0) this.status = ELEMENT_END;
  }

  private fail(reason: XmlErrorReason, pos: number): number {
    return this.refuse(xmlError(reason), pos);
  }

  private refuse(error: XmlError, pos: number): number {
    this.status = FAILED;
    this.error = error;
    return pos;
  }
}
