/** What one session tells others on the bus. */
export interface Notice {
  /** Name of the feature that speaks and is spoken to. */
  readonly feature: string;
  /** Full JID of the session that speaks. */
  readonly from: string;
  readonly text: string;
}

export function writeNotice(notice: Notice): string {
  return JSON.stringify(notice);
}

/** @returns undefined for what is none: another version may speak differently */
export function readNotice(message: string): Notice | undefined {
  try {
    const notice = JSON.parse(message) as Notice | null;
    const { feature, from, text } = notice ?? {};
    const isNotice = typeof feature === 'string' && typeof from === 'string' && typeof text === 'string';
    return isNotice ? { feature, from, text } : undefined;
  } catch {
    return undefined;
  }
}
