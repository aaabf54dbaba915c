import { type RoutingSession, routing } from '../../../../src/features/routing/routing.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { type Playbook, play, type Scene } from '../playbook.js';

export const ENABLE = `<enable xmlns='${NS.carbons2}'/>`;
export const TWO = `<xmpp-2 xmlns='${NS.xmpp2}'/>`;
export const ONE = `<xmpp-1 xmlns='${NS.xmpp2}'/>`;
export const PRIVATE = `<private xmlns='${NS.carbons2}'/>`;
export const NO_COPY = `<no-copy xmlns='${NS.hints}'/>`;
export const NO_STORE = `<no-store xmlns='${NS.hints}'/>`;

/** The mark of what stays addressed to a full JID. */
export const twoTo = (to: string) => `<xmpp-2 xmlns='${NS.xmpp2}' to='${to}'/>`;
/** What is put behind it. */
export const alone = (to: string) => PRIVATE + NO_COPY + NO_STORE + twoTo(to);

/** A session whose server has Message Carbons, or has none. */
export function session(server: 'copies' | 'no copies', scene: Scene = {}): Playbook<RoutingSession> {
  if (server === 'no copies') return play(routing, { ...scene, serverKind: 'jabberd2' });
  return play(routing, { serverKind: 'prosody', ...scene })
    .expectRequest('account', ENABLE)
    .answerIq('account', '');
}

/** The same, and its client wants messages. */
export function online(
  server: 'copies' | 'no copies',
  scene: Scene & { readonly priority?: number } = {},
): Playbook<RoutingSession> {
  const { priority = 0, ...rest } = scene;
  return session(server, rest).fromClient(`<presence><priority>${priority}</priority></presence>`);
}
