import type { KeepaliveConfig } from '../config/model.js';
import type { Leg } from './port.js';

/** How often a leg is looked at; ms. Coarse, because thousands of sessions do it. */
const SHORTEST_LOOK = 1_000;

/**
 * When a silent leg is sent a space, pinged, or given up. One per session; silence counts from the last byte of the peer, so a busy leg
 * costs nothing.
 */
export class Keepalive {
  #pinged: { client: number | undefined; server: number | undefined } = {
    client: undefined,
    server: undefined,
  };
  #spaced = { client: Number.NEGATIVE_INFINITY, server: Number.NEGATIVE_INFINITY };

  constructor(
    private readonly config: { readonly client: KeepaliveConfig; readonly server: KeepaliveConfig },
  ) {}

  /** When to look again; Infinity when nothing is configured. */
  next(now: number): number {
    let shortest = Number.POSITIVE_INFINITY;
    for (const { whitespace, ping, timeout } of [this.config.client, this.config.server]) {
      if (whitespace > 0) shortest = Math.min(shortest, whitespace);
      if (ping > 0) shortest = Math.min(shortest, ping, timeout);
    }
    return shortest === Number.POSITIVE_INFINITY ? shortest : now + Math.max(SHORTEST_LOOK, shortest * 500);
  }

  /**
   * What a leg needs now.
   * @param lastReceived when the last byte came from the peer; ms
   */
  due(leg: Leg, lastReceived: number, now: number): 'nothing' | 'space' | 'ping' | 'dead' {
    const { whitespace, ping, timeout } = this.config[leg];
    const silence = now - lastReceived;
    const pinged = this.#pinged[leg];
    if (pinged !== undefined && lastReceived >= pinged) this.#pinged[leg] = undefined;
    else if (pinged !== undefined) return now - pinged >= timeout * 1000 ? 'dead' : 'nothing';
    if (ping > 0 && silence >= ping * 1000) {
      this.#pinged[leg] = now;
      return 'ping';
    }
    if (whitespace > 0 && silence >= whitespace * 1000 && now - this.#spaced[leg] >= whitespace * 1000) {
      this.#spaced[leg] = now;
      return 'space';
    }
    return 'nothing';
  }
}
