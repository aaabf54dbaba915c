/**
 * What happens between `<authenticate/>` and `<success/>` as a table: the client has asked for everything at once, the server is taken
 * through it step by step on the short side of the link (XEP-0386 §4.2, RFC 6120 §6.4.6, §7).
 */

export type StartState =
  /** SASL is under way between client and server. */
  | 'exchanging'
  /** A token of ours is being looked up. */
  | 'token'
  /** The server's features behind SASL are due. */
  | 'restarting'
  /** A former session is asked for. */
  | 'resuming'
  /** A resource has been asked for, as we would have it. */
  | 'binding'
  /** And once more, as the server would have it. */
  | 'rebinding'
  /** Bound: what is to be switched on, and what is to be known of the archive, has been asked for. */
  | 'preparing'
  /** `<success/>` or `<failure/>` is out. */
  | 'over';

export type StartInput =
  | 'challenge'
  | 'failure'
  | 'success'
  /** `<continue/>`: the server wants a task done (XEP-0388 §2.7.3). */
  | 'task'
  | 'token-good'
  | 'token-bad'
  | 'features'
  | 'not-resumed'
  | 'bound'
  | 'bind-refused'
  | 'prepared';

export type StartAction =
  | 'pass-challenge'
  | 'fail'
  | 'restart'
  | 'refuse-task'
  | 'resume-or-bind'
  | 'resume'
  | 'bind'
  | 'bind-anyhow'
  | 'give-up'
  | 'prepare'
  | 'welcome';

export interface StartRule {
  readonly action: StartAction;
  readonly next: StartState;
}

type Row = { readonly [input in StartInput]?: StartRule };

/** A pair that is not in the table is no part of a start: it is the caller's to deal with. */
export const START_STEPS: { readonly [state in StartState]: Row } = {
  exchanging: {
    challenge: { action: 'pass-challenge', next: 'exchanging' },
    failure: { action: 'fail', next: 'over' },
    success: { action: 'restart', next: 'restarting' },
    task: { action: 'refuse-task', next: 'over' },
  },
  token: {
    'token-good': { action: 'resume', next: 'resuming' },
    'token-bad': { action: 'fail', next: 'over' },
  },
  restarting: { features: { action: 'resume-or-bind', next: 'resuming' } },
  resuming: { 'not-resumed': { action: 'bind', next: 'binding' } },
  binding: {
    bound: { action: 'prepare', next: 'preparing' },
    'bind-refused': { action: 'bind-anyhow', next: 'rebinding' },
  },
  rebinding: {
    bound: { action: 'prepare', next: 'preparing' },
    'bind-refused': { action: 'give-up', next: 'over' },
  },
  preparing: { prepared: { action: 'welcome', next: 'over' } },
  over: {},
};
