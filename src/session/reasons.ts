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
  'left-realm',
  'readdressed',
  'entered-realm',
  'error-address-restored',
  'forged-carbon-removed',
  'carbon-unwrapped',
  'carbon-not-wanted',
  'copy-from-other-session',
  'duplicate-copy-dropped',
  'gone-resource-dropped',
  'gone-resource-answered',
  'carbons-wish-noted',
  'carbons-wish-passed-on',
  'im-ng-answered',
  'test-injected',
  'test-dropped',
] as const;

export type Reason = (typeof REASONS)[number];
