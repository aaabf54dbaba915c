import type { Surroundings } from './surroundings.js';

/** What sessions of this feature tell each other. */
export type Notice =
  /** Something for the clients of the account. `place`: what the room has said; see `Whereabouts.goesOut`. */
  | { readonly op: 'event'; readonly room: string; readonly xml: string; readonly place?: number }
  /** The option has been switched off, which the room does not know of: its last event for the account. */
  | { readonly op: 'configured'; readonly room: string; readonly xml: string }
  /** The session that carried the account's ghost is over: another one may. */
  | { readonly op: 'claim'; readonly room?: string }
  /** The subscription is there, or another one, by the word of somebody else. */
  | { readonly op: 'subscribed'; readonly room: string }
  /** What the session that carries the ghost is to say for another one, and the room's refusal of it. */
  | { readonly op: 'say'; readonly room: string; readonly by: string; readonly xml: string }
  | { readonly op: 'refused'; readonly by: string; readonly xml: string }
  /** The session that carries the ghost is to leave the room for another one, and has. */
  | { readonly op: 'yield'; readonly room: string; readonly by: string }
  | { readonly op: 'yielded'; readonly room: string; readonly to: string }
  /** `isGone`: the room is no more, and its ghosts will hear that from itself. */
  | { readonly op: 'unsubscribed'; readonly room: string; readonly nick: string; readonly isGone?: true }
  /** Another session of the account is the source now. */
  | { readonly op: 'replaced'; readonly room: string }
  /** A subscriber who was in the room is only subscribed from now on. */
  | { readonly op: 'gone'; readonly room: string; readonly nick: string; readonly affiliation: string }
  /** Who has subscribed to a room or ended it. */
  | {
      readonly op: 'subscriber';
      readonly room: string;
      readonly change: 'subscribe' | 'unsubscribe';
      readonly nick: string;
      readonly account: string;
    };

/** Another session of the account may take over what this one has carried, or get what is stored. */
export function tellClaim({ context, account }: Pick<Surroundings, 'context' | 'account'>): void {
  const notice: Notice = { op: 'claim' };
  context.tell(account, JSON.stringify(notice));
}

/** @returns undefined for what no session of this version has written */
export function readNotice(message: string): Notice | undefined {
  try {
    const notice = JSON.parse(message) as Notice;
    return typeof notice.op === 'string' ? notice : undefined;
  } catch {
    return undefined;
  }
}
