import { describe, expect, it } from 'vitest';
import { Metrics } from '../../../src/ops/metrics.js';

const SUMMARY = {
  jid: 'a@b/c',
  domain: 'b',
  reason: 'client-closed',
  stanzasFromClient: 3,
  stanzasFromServer: 5,
  bytesFromClient: 100,
  bytesFromServer: 200,
};

describe('metrics', () => {
  it('are read from plain counters at every scrape, and do not add up twice', async () => {
    const metrics = new Metrics();
    const registry = metrics.registry(() => 7);
    metrics.sessionOpened();
    metrics.sessionOpened();
    metrics.sessionClosed(SUMMARY);
    metrics.bytesFromClients += 100;
    metrics.count('stanza_dropped', 'unbind-refused');
    metrics.count('stanza_dropped', 'unbind-refused');
    metrics.connectionRefused('tls-failed');
    for (let scrape = 0; scrape < 2; scrape += 1) {
      const text = await registry.metrics();
      for (const line of [
        'interstanza_sessions 1',
        'interstanza_unauthenticated_connections 7',
        'interstanza_sessions_opened_total 2',
        'interstanza_sessions_ended_total{reason="client-closed"} 1',
        'interstanza_connections_refused_total{reason="tls-failed"} 1',
        'interstanza_received_bytes_total{from="client"} 100',
        'interstanza_received_bytes_total{from="server"} 0',
        'interstanza_stanzas_total{from="client"} 3',
        'interstanza_stanzas_total{from="server"} 5',
        'interstanza_stanza_dropped_total{reason="unbind-refused"} 2',
        '# TYPE interstanza_stanza_injected_total counter',
      ]) {
        expect(text).toContain(line);
      }
      expect(text).toContain('process_resident_memory_bytes');
      expect(text).not.toContain('a@b/c');
    }
  });

  it('do not grow with what somebody sends', async () => {
    const metrics = new Metrics();
    for (let at = 0; at < 10_000; at += 1) metrics.count('stream_error', `made-up-${at}`);
    metrics.count('stream_error', 'with "quotes"\n');
    const text = await metrics.registry(() => 0).metrics();
    expect(text.match(/interstanza_stream_error_total\{/g)?.length).toBeLessThan(300);
    expect(text).not.toContain('quotes');
    expect(metrics.countOf('stream_error', 'other')).toBeGreaterThan(9_000);
  });
});
