import { domain as domainOf } from '../../jid.js';
import { type DomainContext, KnowledgeKey } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import type { Surroundings } from './surroundings.js';

/** MUC services that have shown to have MUC/Sub themselves. */
class NativeServices {
  readonly names = new Set<string>();
}

const nativeKey = new KnowledgeKey<NativeServices>('services with MUC/Sub', () => new NativeServices());

/** Which MUC services the proxy plays MUC/Sub for: those of its own server that lack it. */
export class Services {
  readonly #native: ReadonlySet<string>;

  constructor(private readonly around: Surroundings) {
    this.#native = nativeServices(around.context.domain);
  }

  /** @returns `unknown` while it is being found out what the server has */
  plays(service: string): boolean | 'unknown' {
    const { probe } = this.around;
    if (this.#native.has(service)) return false;
    const features = probe.mucServices().get(service);
    if (features !== undefined) return !features.has(NS.mucsub);
    return probe.server() === undefined ? 'unknown' : false;
  }

  /** The same for who cannot wait: a service below the domain counts as its server's. */
  playsProbably(service: string): boolean {
    const plays = this.plays(service);
    return plays === 'unknown' ? service.endsWith(`.${this.around.context.domain.name}`) : plays;
  }
}

/** A service has been seen to have it itself. */
export function noteNative(domain: DomainContext, service: string): void {
  const names = nativeServices(domain);
  if (names.size < 100) names.add(service);
}

function nativeServices(domain: DomainContext): Set<string> {
  return domain.shared(nativeKey).names;
}

/** Whether rooms of a service have an archive (XEP-0313), which also means that their ids are their own (XEP-0359). */
export function hasArchive({ probe }: Pick<Surroundings, 'probe'>, room: string): boolean {
  return probe.mucServices().get(domainOf(room))?.has(NS.mam2) === true;
}

/** Whether a room can be asked what was missed: also when nothing is known of its service yet, but it has given ids of its archive before. */
export function answersMissed(
  around: Pick<Surroundings, 'probe' | 'context'>,
  room: string,
  lastId?: string,
): boolean {
  return hasArchive(around, room) || (lastId !== undefined && !lacksArchive(around, room));
}

/** Whether it is known that they have none: the log is one in its place. */
export function lacksArchive(
  { probe, context }: Pick<Surroundings, 'probe' | 'context'>,
  room: string,
): boolean {
  const features = probe.mucServices().get(domainOf(room));
  // COMPAT: jabberd2's service is a process of its own, which may not be there when it is asked; none that it has has an archive.
  return features === undefined ? context.serverKind === 'jabberd2' : !features.has(NS.mam2);
}
