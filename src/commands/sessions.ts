import type { Config } from '../config/model.js';
import { FEATURES } from '../features/index.js';
import { createDomains } from '../session/domain.js';
import { Session } from '../session/session.js';
import type { SessionFactory } from '../transport/middlebox.js';
import type { NamespaceTable } from '../xml/namespaces.js';

/** Makes the sessions of new connections, by the configuration as it is now. */
export class Sessions {
  #config: Config;
  #domains: ReturnType<typeof createDomains>;

  constructor(config: Config) {
    this.#config = config;
    this.#domains = createDomains(config);
  }

  /** What all of them read with, whatever the configuration becomes. */
  get namespaces(): NamespaceTable {
    const { value } = this.#domains.values().next();
    if (value === undefined) throw new Error('sessions need at least one domain');
    return value.namespaces;
  }

  /** Its settings are written out: V8 gives an object that begins with a spread a shape of its own, 250 bytes. */
  readonly create: SessionFactory = (port, { listener, directTls, peer, now }) =>
    new Session(port, { config: this.#config, listener, directTls, domains: this.#domains, peer, now });

  /** The store has messages that a process before this one has put away. */
  haveFormerMessages(): void {
    for (const { backlogs } of this.#domains.values()) backlogs.mayHaveFormer = true;
  }

  /** Domains whose features have not changed keep what is known of them; sessions that are up keep their domain. */
  reconfigure(config: Config): void {
    this.#config = config;
    this.#domains = createDomains(config, FEATURES, this.#domains);
  }
}
