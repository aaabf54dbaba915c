import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { SessionMetric, SessionSummary } from '../session/port.js';

const SESSION_METRICS: Readonly<Record<SessionMetric, string>> = {
  stanza_dropped: 'Stanzas that were not passed on, by reason.',
  stanza_changed: 'Stanzas that were changed on their way, by reason.',
  stanza_injected: 'Stanzas of the proxy itself, by reason.',
  stanza_repaired: 'Stanzas of a server that could be passed on only after a repair, by reason.',
  stream_error: 'Streams that the proxy ended with an error, by condition.',
  iq_request: 'Requests of the proxy itself, by outcome.',
  hold: 'Sessions that outlived their client connection, and what became of them.',
  feature_decision: 'Decisions of features, by reason.',
};

/** Reasons come from closed sets; should one ever leak input, it must not grow the process or the scrape. */
const MOST_LABELS = 200;
const LABEL = /^[a-zA-Z0-9_-]{1,60}$/;
const OTHER = 'other';

/** The process's counters: plain numbers on the way of the stanzas, turned into Prometheus' format when somebody asks. */
export class Metrics {
  bytesFromClients = 0;
  bytesFromServers = 0;
  #open = 0;
  #opened = 0;
  #stanzasFromClients = 0;
  #stanzasFromServers = 0;
  readonly #counts = new Map<SessionMetric, Map<string, number>>();
  readonly #ends = new Map<string, number>();
  readonly #refused = new Map<string, number>();

  count(metric: SessionMetric, reason: string): void {
    let reasons = this.#counts.get(metric);
    if (reasons === undefined) {
      reasons = new Map();
      this.#counts.set(metric, reasons);
    }
    increment(reasons, reason);
  }

  sessionOpened(): void {
    this.#open += 1;
    this.#opened += 1;
  }

  sessionClosed(summary: SessionSummary): void {
    this.#open -= 1;
    this.#stanzasFromClients += summary.stanzasFromClient;
    this.#stanzasFromServers += summary.stanzasFromServer;
    increment(this.#ends, summary.reason);
  }

  connectionRefused(reason: string): void {
    increment(this.#refused, reason);
  }

  /** How often something was counted; for tests and diagnosis. */
  countOf(metric: SessionMetric, reason: string): number {
    return this.#counts.get(metric)?.get(reason) ?? 0;
  }

  /**
   * A registry that reads these counters on every scrape, with the process's own metrics.
   * @param strangers connections that have not authenticated
   */
  registry(strangers: () => number): Registry {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const registers = [registry];
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name: `interstanza_${name}`,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    const total = (name: string, help: string, read: () => number) =>
      new Counter({
        name: `interstanza_${name}_total`,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    const byReason = (name: string, help: string, read: () => ReadonlyMap<string, number> | undefined) =>
      new Counter({
        name: `interstanza_${name}_total`,
        help,
        registers,
        labelNames: ['reason'],
        collect() {
          this.reset();
          for (const [reason, count] of read() ?? []) this.inc({ reason }, count);
        },
      });
    const byPeer = (name: string, help: string, client: () => number, server: () => number) =>
      new Counter({
        name: `interstanza_${name}_total`,
        help,
        registers,
        labelNames: ['from'],
        collect() {
          this.reset();
          this.inc({ from: 'client' }, client());
          this.inc({ from: 'server' }, server());
        },
      });
    gauge('sessions', 'Client connections that are up.', () => this.#open);
    gauge('unauthenticated_connections', 'Client connections that have not authenticated.', strangers);
    total('sessions_opened', 'Client connections ever taken in.', () => this.#opened);
    byReason('sessions_ended', 'Sessions that have ended, by reason.', () => this.#ends);
    byReason(
      'connections_refused',
      'Connections that never became a session, by reason.',
      () => this.#refused,
    );
    byPeer(
      'received_bytes',
      'Bytes received, TLS not counted.',
      () => this.bytesFromClients,
      () => this.bytesFromServers,
    );
    byPeer(
      'stanzas',
      'Stanzas received in sessions that have ended.',
      () => this.#stanzasFromClients,
      () => this.#stanzasFromServers,
    );
    for (const metric of Object.keys(SESSION_METRICS).filter(isSessionMetric)) {
      byReason(metric, SESSION_METRICS[metric], () => this.#counts.get(metric));
    }
    return registry;
  }
}

function isSessionMetric(name: string): name is SessionMetric {
  return name in SESSION_METRICS;
}

function increment(counts: Map<string, number>, reason: string): void {
  const known = counts.get(reason);
  if (known !== undefined) counts.set(reason, known + 1);
  else if (counts.size < MOST_LABELS && LABEL.test(reason)) counts.set(reason, 1);
  else counts.set(OTHER, (counts.get(OTHER) ?? 0) + 1);
}
