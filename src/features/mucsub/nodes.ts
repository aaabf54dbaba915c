const PREFIX = 'urn:xmpp:mucsub:nodes:';

/**
 * What can be subscribed to. `participants` is ejabberd's own; `system` is in the specification and not in ejabberd.
 */
export const EVENTS = [
  'presence',
  'messages',
  'affiliations',
  'subject',
  'config',
  'subscribers',
  'participants',
  'system',
] as const;
export type EventName = (typeof EVENTS)[number];

const KNOWN: ReadonlySet<string> = new Set(EVENTS);
/** What the examples of the specification call the node `presence`. */
const PRESENCES = `${PREFIX}presences`;

export function nodeOf(event: EventName): string {
  return PREFIX + event;
}

/**
 * The events that a list of nodes asks for, in its order and as often; nodes that nobody knows are left out. `presences` counts as `presence`
 * where that is not in the list.
 */
export function eventsOf(nodes: readonly string[]): EventName[] {
  const presence = nodeOf('presence');
  const hasPresence = nodes.includes(presence);
  const events: EventName[] = [];
  for (const node of nodes) {
    if (node === PRESENCES && hasPresence) continue;
    const name = (node === PRESENCES ? presence : node).slice(PREFIX.length);
    if (node.startsWith(PREFIX) && KNOWN.has(name)) events.push(name as EventName);
  }
  return events;
}
