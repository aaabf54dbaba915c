import type { Buffer } from 'node:buffer';
import { SPACE } from './characters.js';
import { type XmlError, type XmlErrorReason, xmlError } from './errors.js';

const DECLARATION =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"([^"]*)"|'([^']*)')(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"([^"]*)"|'([^']*)'))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>$/;

/**
 * What is wrong with the XML declaration `buf[start..end)` (XML 1.0 §2.8), which ends with the first `>`.
 *
 * The version must be 1.0 (RFC 6120 §11.8) and the encoding, where it is named, UTF-8 in any case (§11.6). A name
 * for another encoding is refused even if all bytes are ASCII: ejabberd takes any label for UTF-8 while jabberd2
 * honours it, so the two would read different text.
 */
export function declarationError(buf: Buffer, start: number, end: number): XmlError | undefined {
  const match = DECLARATION.exec(buf.toString('latin1', start, end));
  if (match === null) return xmlError('malformed-declaration');
  if ((match[1] ?? match[2]) !== '1.0') return xmlError('xml-version');
  const encoding = match[3] ?? match[4];
  return encoding === undefined || encoding.toLowerCase() === 'utf-8' ? undefined : xmlError('encoding');
}

/** `<?xml` */
const XML_TARGET = [0x3c, 0x3f, 0x78, 0x6d, 0x6c] as const;

/**
 * What is wrong with the `<?` at `pos`, where no XML declaration may stand.
 *
 * @returns undefined if it takes more bytes to tell
 */
export function instructionReason(buf: Uint8Array, pos: number, end: number): XmlErrorReason | undefined {
  for (let i = 2; i <= XML_TARGET.length; i++) {
    if (pos + i >= end) return undefined;
    if (i === XML_TARGET.length)
      return SPACE[buf[pos + i]!] === 1 ? 'misplaced-declaration' : 'processing-instruction';
    if (buf[pos + i] !== XML_TARGET[i]) break;
  }
  return 'processing-instruction';
}
