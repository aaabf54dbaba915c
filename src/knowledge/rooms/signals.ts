import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';

/** What a room says in a presence beside who it is about. */
export interface RoomSignals {
  /** Status codes (XEP-0045 §15.6.2). */
  readonly codes: ReadonlySet<string>;
  readonly destroyed: { readonly reason: string; readonly alternative: string | undefined } | undefined;
}

/** Why this session is no longer in a room. */
export type LeaveCause =
  /** The client asked for it. */
  | 'left'
  /** The client went offline for everybody, and with that left every room it was in. */
  | 'went-unavailable'
  | 'kicked'
  | 'banned'
  | 'affiliation-changed'
  | 'members-only'
  /** 333: the room got an error back for something it had sent here. */
  | 'undeliverable'
  | 'service-shutdown'
  | 'destroyed'
  /** The room said that this session is no occupant: to a self-ping, to a presence, or to a second join. */
  | 'not-an-occupant'
  /** Gone without a word why. */
  | 'unexplained'
  /** Nothing of the kind: the session is in more rooms than are kept track of. */
  | 'forgotten';

/** Causes that no unavailable presence from the room tells of: it has said nothing, or something else. */
export const SILENT_CAUSES: ReadonlySet<LeaveCause> = new Set([
  'went-unavailable',
  'forgotten',
  'not-an-occupant',
]);

const CODE_110 = Buffer.from('110');
const DESTROY = Buffer.from('destroy');
const REFERENCE = Buffer.from('&#');

/** Whether the bytes could hold a self-presence or a destroyed room: what spares big rooms a tree for each presence. */
export function mayConcernSelf(frame: Frame): boolean {
  const bytes = frame.bytes();
  return bytes.includes(CODE_110) || bytes.includes(DESTROY) || bytes.includes(REFERENCE);
}

/** What the room says in the presence of an occupant; undefined if it says nothing, so that it need not be a room's. */
export function roomSignals(presence: Element): RoomSignals | undefined {
  // COMPAT mu-conference reflects what an occupant put into its presence; what the room adds stands behind it.
  const x = presence.getChildren('x', NS.mucUser).at(-1);
  if (x === undefined) return undefined;
  const destroy = x.getChild('destroy');
  const codes = x.getChildren('status').map((status) => String(status.attrs.code ?? ''));
  const alternative: unknown = destroy?.attrs.jid;
  return {
    codes: new Set(codes),
    destroyed:
      destroy === undefined
        ? undefined
        : {
            reason: destroy.getChildText('reason') ?? '',
            alternative: typeof alternative === 'string' ? alternative : undefined,
          },
  };
}

// COMPAT mu-conference 0.8 says of every room, persistent ones too, that it is destroyed when it is itself stopped.
const MU_CONFERENCE_SHUTDOWN = 'The conference component is shutting down';

const CAUSES: readonly (readonly [code: string, cause: LeaveCause])[] = [
  ['301', 'banned'],
  ['332', 'service-shutdown'],
  // Prosody adds 307 to these, for old clients.
  ['333', 'undeliverable'],
  ['321', 'affiliation-changed'],
  ['322', 'members-only'],
  ['307', 'kicked'],
];

/** Why an occupant is gone, by what the room said; undefined if it gave no reason. */
export function causeOf(signals: RoomSignals): LeaveCause | undefined {
  if (signals.destroyed !== undefined) {
    return signals.destroyed.reason.startsWith(MU_CONFERENCE_SHUTDOWN) ? 'service-shutdown' : 'destroyed';
  }
  return CAUSES.find(([code]) => signals.codes.has(code))?.[1];
}

/** The condition of an error stanza (RFC 6120 §8.3.3). */
export function errorCondition(stanza: Element): string {
  const conditions = stanza
    .getChildElements()
    .filter((child) => child.getName() === 'error')
    .flatMap((error) => error.getChildElements())
    .filter((child) => child.getNS() === NS.stanzaErrors && child.getName() !== 'text');
  return conditions[0]?.getName() ?? 'undefined-condition';
}

/** The room cannot be reached, or did not decide: such an error tells nothing about being in it. */
const UNDECIDED: ReadonlySet<string> = new Set([
  'remote-server-not-found',
  'remote-server-timeout',
  'internal-server-error',
  'resource-constraint',
  'policy-violation',
  'recipient-unavailable',
  'undefined-condition',
]);

/**
 * Whether an error from a room to the presence of one's own nick shows that it does not count this session as an occupant: one inside is
 * refused nothing but another nick.
 */
export function provesAbsence(condition: string): boolean {
  return !UNDECIDED.has(condition);
}

/** What a self-ping has shown. */
export type SelfPingVerdict = 'in' | 'out' | 'unclear';

/**
 * What the error to a ping of one's own occupant JID shows (XEP-0410 §3.2).
 *
 * `item-not-found` is unclear: by the specification one is in, under a nick that another session has just changed; Prosody and ejabberd say
 * it for a room that is gone, mu-conference also when one is not in. A result is no error and means in; mu-conference sends the ping itself back and
 * then the answer to that: both a result and an error of the client's own making show that it was passed on, so that one is in.
 */
export function judgeSelfPing(condition: string): SelfPingVerdict {
  switch (condition) {
    case 'service-unavailable':
    case 'feature-not-implemented':
      return 'in';
    case 'not-acceptable':
    case 'not-allowed':
    case 'bad-request':
      return 'out';
    default:
      return 'unclear';
  }
}
