/** What sessions tell each other about messages. */
export type Notice =
  /**
   * A message for the account, for those whom the server has not given it.
   * @param priority of the one that tells: the server gives it to all that have as much or more by itself
   */
  | { readonly kind: 'copy'; readonly key: string; readonly xml: string; readonly priority: number }
  /**
   * A message that those who have opted in to the new rules get (XEP-0409), sent by a resource of the account, or received by one.
   * @param sent it was sent, and is for those too who want carbons that the server does not make
   */
  | { readonly kind: 'reflection'; readonly key: string; readonly xml: string; readonly sent?: true }
  /** An error for the session with this full JID, from an address that nobody may write from. */
  | { readonly kind: 'error'; readonly to: string; readonly from: string; readonly id: string | undefined };

export function writeNotice(notice: Notice): string {
  return JSON.stringify(notice);
}

const KINDS: readonly string[] = ['copy', 'reflection', 'error'] satisfies readonly Notice['kind'][];

/** @returns undefined for what another version may say */
export function readNotice(text: string): Notice | undefined {
  try {
    const notice = JSON.parse(text) as Notice;
    return KINDS.includes(notice.kind) ? notice : undefined;
  } catch {
    return undefined;
  }
}
