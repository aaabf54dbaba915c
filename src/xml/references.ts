import { equalsAscii } from './values.js';

const ENTITIES = ['amp', 'lt', 'gt', 'quot', 'apos'];

/** Whether `buf[start..end)` names one of the five entities that need no DTD (XML 1.0 §4.6). */
export function isPredefined(buf: Uint8Array, start: number, end: number): boolean {
  return ENTITIES.some((name) => equalsAscii(buf, start, end, name));
}

/** Of a hexadecimal digit; -1 for any other byte. */
export function digitValue(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  if (c >= 0x61 && c <= 0x66) return c - 0x57;
  return c >= 0x41 && c <= 0x46 ? c - 0x37 : -1;
}
