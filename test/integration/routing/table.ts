import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVER_KINDS, type ServerKind } from '../servers/server.js';
import { ADDRESSES, KINDS, MIXTURES } from './scene.js';

/** How the writer and the readers come to the server. */
export const WAYS = {
  direct: 'nobody by the proxy',
  proxy: 'everybody by the proxy',
  outside: 'readers by the proxy, writer not',
} as const;
export type Way = keyof typeof WAYS;

/** Who got what, by server, way and mixture, and by cell. */
export type Outcomes = Record<string, Record<string, string>>;

const FILE = join(import.meta.dirname, 'expected.json');
export const TABLE = join(import.meta.dirname, '../../../docs/routing-table.md');

export function column(server: ServerKind, way: string, mixture: string): string {
  return `${server}, ${way}, ${mixture}`;
}

export function expected(): Outcomes {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Outcomes;
}

/** Takes what has been observed for what is expected from now on. */
export function learn(name: string, outcome: Record<string, string>): void {
  const all = { ...expected(), [name]: outcome };
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(FILE, `${JSON.stringify(sorted, undefined, 2)}\n`);
  writeFileSync(TABLE, tableOf(sorted));
}

const HEAD = `# Who gets what

Observed with real sessions and kept as a test (\`test/integration/routing.test.ts\`), without the proxy and with it. The reader has four sessions:
\`a\` and \`b\` with priority 5, \`c\` with 0, \`n\` with −1. Each cell names those that got the message; \`(copy)\`: in the form of XEP-0280; \`error\`:
the writer got one, from the address it had written to; –: nobody got anything. "Carbons" says which sessions have turned Message Carbons on by
themselves. **Without**: nobody comes by the proxy. **With**: everybody does. **Outside**: the readers do, the writer does not.
[What the rules are, and why](routing.md).
`;

/** The same as a document. */
export function tableOf(outcomes: Outcomes): string {
  return [HEAD, ...SERVER_KINDS.map((server) => section(server, outcomes))].join('\n');
}

function section(server: ServerKind, outcomes: Outcomes): string {
  const mixtures = Object.keys(MIXTURES).filter((mixture) => outcomes[column(server, 'proxy', mixture)]);
  const parts = [`## ${server}`];
  for (const mixture of mixtures) {
    const who = MIXTURES[mixture as keyof typeof MIXTURES];
    const carbons = who === '' ? 'nobody' : [...who].join(', ');
    parts.push(`### Carbons: ${carbons}`);
    const rows = ADDRESSES.flatMap((address) =>
      Object.keys(KINDS).map((kind) => {
        const cells = (['direct', 'proxy', 'outside'] as const).map(
          (way) => outcomes[column(server, way, mixture)]?.[`${address}: ${kind}`] ?? '',
        );
        return [address, kind, ...cells];
      }),
    );
    const lines = [['to', 'kind', 'without', 'with', 'outside'], ...rows];
    const widths = lines[0]!.map((_, at) => Math.max(...lines.map((line) => line[at]!.length)));
    const text = lines.map((line) => `| ${line.map((cell, at) => cell.padEnd(widths[at]!)).join(' | ')} |`);
    const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
    parts.push([text[0], rule, ...text.slice(1)].join('\n'));
  }
  return `${parts.join('\n\n')}\n`;
}
