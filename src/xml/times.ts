/** Dates and times as they stand in stanzas (XEP-0082). */

/** @returns ms since 1970; NaN for what is no time */
export function parseTime(text: string): number {
  // biome-ignore lint/style/noRestrictedGlobals: it reads a time that has come in
  return Date.parse(text);
}

/** @param ms since 1970 */
export function writeTime(ms: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: it spells out a time that has come in
  return new Date(ms).toISOString();
}
