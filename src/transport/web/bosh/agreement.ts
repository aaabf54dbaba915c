import type { BodyAttributes, BoshRequest } from './body.js';

/** What a session over BOSH may ask for at most, and what it is told; seconds and counts. */
export interface BoshSettings {
  readonly wait: number;
  readonly hold: number;
  /** Silence after which the client counts as gone; longer where it polls. */
  readonly inactivity: number;
  readonly pollingInactivity: number;
  /** Below this time between requests without a payload the client is too busy. */
  readonly polling: number;
  readonly maxPause: number;
  /** Bytes after which an answer is not added to. */
  readonly answerBytes: number;
}

/** What a client and this side have agreed on by the first request and its answer (XEP-0124 §7). */
export interface Agreement {
  /** Seconds that a request may be held. */
  readonly wait: number;
  readonly hold: number;
  /** The window of rids: so many requests may be open at one time. */
  readonly requests: number;
  /** Nothing is held. */
  readonly polls: boolean;
  /** Seconds of silence after which the client counts as gone, unless it has announced a pause. */
  readonly inactivity: number;
  readonly acknowledges: boolean;
  /** The client has not named a version: it expects HTTP's own codes. */
  readonly legacy: boolean;
}

const VERSION = [1, 11] as const;
/** As many as a client may have open, whatever it wants to have held. */
const MOST_REQUESTS = 6;

/** @param request the first */
export function agree(settings: BoshSettings, request: BoshRequest): Agreement {
  const wait = Math.min(request.wait ?? settings.wait, settings.wait);
  // Where nothing may wait, nothing is held.
  const hold = wait === 0 ? 0 : Math.min(request.hold ?? 1, settings.hold);
  const polls = hold === 0;
  // More than the client wanted to have held, be it held or not (XEP-0124 §7.2).
  const requests = Math.min(Math.max(hold, request.hold ?? 0) + 1, MOST_REQUESTS);
  // Without a spread, by which V8 would give each of them a shape of its own.
  return {
    wait,
    hold,
    requests,
    polls,
    inactivity: polls ? settings.pollingInactivity : settings.inactivity,
    acknowledges: request.ack === 1,
    legacy: request.version === undefined,
  };
}

/** What the client is told of it. */
export function agreedAttributes(
  { wait, hold, requests, inactivity, acknowledges }: Agreement,
  settings: BoshSettings,
  { version, rid }: BoshRequest,
  sid: string,
): BodyAttributes {
  return [
    ['xmlns:xmpp', 'urn:xmpp:xbosh'],
    ['sid', sid],
    ['wait', wait],
    ['requests', requests],
    ['hold', hold],
    ['polling', settings.polling],
    ['inactivity', inactivity],
    ['maxpause', settings.maxPause],
    ['ver', version === undefined ? undefined : lowerVersion(version)],
    ['ack', acknowledges ? rid : undefined],
    ['xmpp:restartlogic', 'true'],
  ];
}

/** The lower of the client's version and ours (XEP-0124 §7.2). */
function lowerVersion(version: string): string {
  const [major = Number.NaN, minor = Number.NaN] = version.split('.').map(Number);
  const lower = major < VERSION[0] || (major === VERSION[0] && minor < VERSION[1]);
  return lower ? `${major}.${minor}` : VERSION.join('.');
}
