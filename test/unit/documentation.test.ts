import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { ADVICE_CODES } from '../../src/stream/advice.js';

const ROOT = resolve(import.meta.dirname, '../..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const DOCUMENTS = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
    join(folder, name),
  );
}

describe('what is promised in the README', () => {
  const tests = filesBelow('test')
    .filter((file) => file.endsWith('.test.ts'))
    .map(read)
    .join('\n');
  const table = /## Promises[\s\S]*?\n\n((?:\|.*\n)+)/.exec(read('README.md'))?.[1] ?? '';
  const promises = table
    .split('\n')
    .slice(2)
    .filter((line) => line !== '');

  it('has a table of promises', () => {
    expect(promises.length).toBeGreaterThan(10);
  });

  it.each(promises)('%s', (line) => {
    const cell = line.split('|').at(-2) ?? '';
    const names = [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !tests.includes(name))).toEqual([]);
  });
});

describe('links', () => {
  it.each(DOCUMENTS)('of %s lead somewhere', (document) => {
    for (const [, target = ''] of read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(target)) continue;
      expect(() => read(join(dirname(document), target)), target).not.toThrow();
    }
  });

  it('of sections name sections', () => {
    const slug = (title: string) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-');
    const sections = [...read('docs/architecture.md').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      slug(title),
    );
    const named = DOCUMENTS.flatMap((document) => [
      ...read(document).matchAll(/architecture\.md#([^)]+)\)/g),
    ]);
    for (const [, section] of named) expect(sections).toContain(section);
  });
});

describe('operations', () => {
  it('name every advice of doctor', () => {
    const text = read('docs/operations.md');
    for (const code of ADVICE_CODES) expect(text).toContain(`\`${code}\``);
  });
});

describe('the worked example of a feature', () => {
  it('compiles, with the reason it adds', { timeout: 60_000 }, () => {
    const blocks = [...read('docs/architecture.md').matchAll(/```ts\n([\s\S]*?)```/g)].map(
      ([, code = '']) => code,
    );
    const reasons = 'src/session/reasons.ts';
    const written = new Map([
      [join(ROOT, 'src/features/quiet-rooms/quiet-rooms.ts'), blocks[0] ?? ''],
      [join(ROOT, 'test/unit/features/quiet-rooms.test.ts'), blocks[1] ?? ''],
      [
        join(ROOT, reasons),
        read(reasons).replace('] as const;', "  'receipt-request-removed',\n] as const;"),
      ],
    ]);
    const configuration = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(configuration.config, ts.sys, ROOT);
    const host = ts.createCompilerHost(options);
    const { readFile, fileExists, getSourceFile } = host;
    host.readFile = (file) => written.get(file) ?? readFile(file);
    host.fileExists = (file) => written.has(file) || fileExists(file);
    host.getSourceFile = (file, target, onError) => {
      const text = written.get(file);
      return text === undefined
        ? getSourceFile(file, target, onError)
        : ts.createSourceFile(file, text, target);
    };
    host.directoryExists = (folder) => folder.endsWith('quiet-rooms') || ts.sys.directoryExists(folder);
    const program = ts.createProgram([...written.keys()], options, host);
    const said = [...written.keys()].flatMap((file) => {
      const source = program.getSourceFile(file);
      if (source === undefined) return [`${file} was not read`];
      const problems = [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ];
      return problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    });
    expect(said).toEqual([]);
  });
});
