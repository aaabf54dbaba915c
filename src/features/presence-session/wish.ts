import type { Element } from 'ltx';
import type { PassingStanza } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { readId, type Wish } from './annotation.js';

/** What a client asks for when it enters a room; undefined when it asks for nothing. */
export function readWish(stanza: PassingStanza): Wish | undefined {
  const { frame } = stanza;
  const mayAsk =
    frame.findChild('presence-session', NS.presenceSession) >= 0 ||
    frame.bytes().includes(NS.presenceVersioning);
  if (!mayAsk) return undefined;
  const tree = stanza.tree();
  const session = tree.getChild('presence-session', NS.presenceSession);
  if (session !== undefined) return sessionWish(session);
  const version = [NS.mucUser, NS.muc]
    .flatMap((namespace) => tree.getChildren('x', namespace))
    .map((x) => x.getChild('version', NS.presenceVersioning))
    .find((each) => each !== undefined);
  return version === undefined ? undefined : versionWish(version);
}

/** XEP-0311 §4.1, §4.2. */
function sessionWish({ attrs }: Element): Wish {
  const { type, session, id } = attrs as Record<string, string | undefined>;
  if (type !== 'resume') return { dialect: 'session', resume: undefined };
  return { dialect: 'session', resume: { session: session ?? '', id: readId(id ?? '') } };
}

/** XEP-0436: an empty version is how a client begins. */
function versionWish({ attrs }: Element): Wish {
  const ver = String(attrs.ver ?? '');
  if (ver === '') return { dialect: 'version', resume: undefined };
  const dot = ver.lastIndexOf('.');
  return {
    dialect: 'version',
    resume: { session: ver.slice(0, Math.max(0, dot)), id: readId(ver.slice(dot + 1)) },
  };
}
