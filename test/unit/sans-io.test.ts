import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');
const CORE = ['xml', 'stream', 'session', 'features', 'knowledge'];

const sources = (folder: string) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ file: join(folder, name), text: readFileSync(join(ROOT, folder, name), 'utf8') }));

/** Lints each of the lines as a file of its own in a folder. @returns for each whether it may not be there, by the rules of the project */
function refused(folder: string, all: readonly (readonly string[])[]): boolean[] {
  const root = mkdtempSync(join(tmpdir(), 'interstanza-lint-'));
  try {
    copyFileSync(join(ROOT, 'biome.json'), join(root, 'biome.json'));
    mkdirSync(join(root, folder), { recursive: true });
    for (const [n, lines] of all.entries())
      writeFileSync(join(root, folder, `probe${n}.ts`), lines.join('\n'));
    const args = ['lint', '--vcs-enabled=false', '--max-diagnostics=none', '--reporter=github', '.'];
    const { stdout } = spawnSync(join(ROOT, 'node_modules/.bin/biome'), args, {
      cwd: root,
      encoding: 'utf8',
    });
    const found = stdout.split('\n').filter((line) => /noRestricted(Imports|Globals)/.test(line));
    return all.map((_, n) => found.some((line) => line.includes(`probe${n}.ts`)));
  } finally {
    rmSync(root, { recursive: true });
  }
}

describe('the core has no sockets, timers, clock or random source of its own', () => {
  const FORBIDDEN = [
    ["import net from 'node:net';", 'net.connect(1);'],
    ["import tls from 'node:tls';", 'tls.connect(1);'],
    ["import { readFile } from 'node:fs/promises';", "readFile('x');"],
    ["import { setTimeout as sleep } from 'node:timers/promises';", 'sleep(1);'],
    ["import { randomBytes } from 'node:crypto';", 'randomBytes(1);'],
    ["import { pino } from 'pino';", 'pino();'],
    ['', 'setTimeout(() => {}, 1);'],
    ['', 'export const now = Date.now();'],
    ['', 'export const now = performance.now();'],
    ['', "fetch('http://example.org');"],
  ];

  it.each(CORE)('the linter refuses them in src/%s', { timeout: 30_000 }, (folder) => {
    expect(refused(`src/${folder}`, FORBIDDEN)).toEqual(FORBIDDEN.map(() => true));
  });

  it('and nowhere else', { timeout: 30_000 }, () => {
    expect(refused('src/transport', FORBIDDEN)).toEqual(FORBIDDEN.map(() => false));
  });

  it.each(CORE)('src/%s does not throw dice', (folder) => {
    const files = sources(`src/${folder}`);
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter(({ text }) => text.includes('Math.random')).map(({ file }) => file)).toEqual([]);
  });
});

describe('node-forge', () => {
  it('makes certificates and does nothing else: TLS is Node’s', () => {
    const users = sources('src').filter(({ text }) => text.includes("'node-forge'"));
    expect(users.map(({ file }) => file)).toEqual(['src/transport/self-signed.ts']);
  });
});
