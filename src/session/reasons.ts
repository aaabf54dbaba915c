/**
 * Why a stanza was changed, dropped, injected or handled by the proxy. The set is closed: a reason is the metric label, the debug
 * field and what tests assert, so every new decision adds its word here.
 */
export const REASONS = [
  'iq-answer-taken',
  'iq-answer-not-from-addressee',
  'iq-request-sent',
  'second-bind-refused',
  'unbind-refused',
  'stanza-over-upstream-limit',
  'flawed-stanza-repaired',
  'flawed-stanza-dropped',
  'not-portable-dropped',
  'undeliverable-returned',
  'disco-amended',
  'held-ping-answered',
  'held-iq-answered',
  'undelivered-message',
  'delivered-before',
  'probe-presence-dropped',
  'archive-message',
  'archive-mark',
  'archive-duplicate-dropped',
  'session-start-sent',
  'presence-session-asked',
  'presence-session-annotated',
  'presence-session-stripped',
  'presence-session-resumed',
  'presence-session-reset',
  'presence-session-held',
  'presence-session-passed-on',
  'presence-session-cached',
  'room-view-over-budget',
  'room-view-evicted',
  'room-history-asked',
  'test-injected',
  'test-dropped',
] as const;

export type Reason = (typeof REASONS)[number];
