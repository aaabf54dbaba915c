import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { residentBytes, startBackend, stopAll } from './processes.js';
import { BoshSession, WebSocketSession } from './web-clients.js';
import { Connection } from './connection.js';
const [what = 'ws', snap = '0', dist = 'dist'] = process.argv.slice(2);
const place = { measured: undefined, ends: undefined, program: `${dist}/main.js` };
const upstream = await startBackend(place);
const data = mkdtempSync('/tmp/webx/mem-');
writeFileSync(join(data, 'c.yaml'), JSON.stringify({ domains: { 'bench.example': { upstreams: [`xmpp://127.0.0.1:${upstream}`], features: { routing: false } } } }).replace('bench.example', (await import('./streams.js')).DOMAIN));
const child = spawn(process.execPath, ['--heapsnapshot-signal=SIGUSR2', '--expose-gc', `${dist}/main.js`, 'serve', '--config', join(data, 'c.yaml'), '--listen', 'ws://127.0.0.1:0/ws', '--listen', 'http://127.0.0.1:0/bosh', '--listen', 'xmpp://127.0.0.1:0?tls=off', '--data', data, '--log-level', 'error'], { cwd: process.cwd(), stdio: ['ignore', 'pipe', 'inherit'] });
const ready = await new Promise<any>((r) => child.stdout.once('data', (d) => r(JSON.parse(String(d)))));
const [ws, bosh, tcp] = ready.listeners;
const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
const endpoint: any = { name: 'proxy', websocket: ws, bosh, mechanism: 'PLAIN' };
const keep: unknown[] = [];
const open = async (a: string) => {
  if (what === 'ws') keep.push(await WebSocketSession.open(endpoint, a));
  else if (what === 'bosh') { const s = await BoshSession.open(endpoint, a, agent); s.hold(); keep.push(s); }
  else keep.push(await Connection.open(Number(new URL(tcp.replace('xmpp', 'http')).port), 'off', a));
};
let next = 0;
const openAll = async (n: number) => { const end = next + n; await Promise.all(Array.from({ length: 8 }, async () => { while (next < end) await open(`user${next++}`); })); };
const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));
const snapshot = async () => {
  const before = new Set(readdirSync('.').filter((f) => f.endsWith('.heapsnapshot')));
  child.kill('SIGUSR2');
  for (;;) { await sleep(500); const f = readdirSync('.').find((f) => f.endsWith('.heapsnapshot') && !before.has(f)); if (f) { let size = -1; for (;;) { const now = readFileSync(f).length; if (now === size && now > 0) return f; size = now; await sleep(3000); } } }
};
await openAll(200);
await sleep(snap === '1' ? 3000 : 20000);
const files: string[] = [];
if (snap === '1') files.push(await snapshot());
const r0 = residentBytes(child.pid!);
await openAll(1000);
await sleep(snap === '1' ? 3000 : 20000);
if (snap === '1') files.push(await snapshot());
console.log(what, 'KB a session', (residentBytes(child.pid!) - r0) / 1000 / 1024);
if (snap === '1') {
  const count = (file: string) => {
    const s = JSON.parse(readFileSync(file, 'utf8'));
    const { node_fields, node_types } = s.snapshot.meta; const types = node_types[0]; const w = node_fields.length;
    const m = new Map<string, [number, number]>();
    for (let i = 0; i < s.nodes.length; i += w) {
      const type = types[s.nodes[i]]; let name = s.strings[s.nodes[i + 1]]; const size = s.nodes[i + 3];
      if (type !== 'object' && type !== 'closure' && type !== 'native' && type !== 'array' && type !== 'hidden' && type !== 'object shape' && type !== 'code') name = '';
      if (type === 'closure') name = `() ${name}`;
      const key = `${type} ${String(name).slice(0, 60)}`; const e = m.get(key) ?? [0, 0]; e[0]++; e[1] += size; m.set(key, e);
    }
    return m;
  };
  const [a, b] = files.map(count);
  const rows = [...b!].map(([k, [n, z]]) => { const [n0, z0] = a!.get(k) ?? [0, 0]; return [k, (n - n0) / 1000, (z - z0) / 1000] as const; }).filter((r) => Math.abs(r[2]) > 20).sort((x, y) => y[2] - x[2]);
  let total = 0; for (const [, [, z]] of b!) total += z; for (const [, [, z]] of a!) total -= z;
  console.log('heap total a session', total / 1000);
  for (const [k, n, z] of rows.slice(0, 70)) console.log(z.toFixed(0).padStart(6), n.toFixed(2).padStart(7), k);
}
child.kill(); await stopAll(); process.exit();
