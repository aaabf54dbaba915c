import { readFile } from 'node:fs/promises';
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { z } from 'zod';
import { whyNot } from '../files.js';
import { ConfigError, didYouMean, shown } from './problem.js';
import { FILE_SCHEMA, type FileSettings, knownKeys } from './schema.js';

/** Of one another: a short file could stand for a very long one. */
const MOST_ALIASES = 100;

export type KeyPath = readonly PropertyKey[];

/** A configuration file that has the right shape. */
export interface ConfigFile {
  readonly settings: FileSettings;
  /** `interstanza.yaml, line 12, domains.example.org.upstreams[0]`: the beginning of a sentence about a key. */
  locate(path: KeyPath): string;
}

/**
 * Reads and checks a YAML file against the schema.
 * @throws ConfigError with every mistake that was found
 */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigError([`cannot read the configuration ${file}: ${whyNot(error)}`]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => `${file}, line ${lines.linePos(error.pos[0]).line}: ${sentence(error)}`),
    );
  }
  const locate = (path: KeyPath) => describePlace(file, document, lines, path);
  // An empty file is a map without keys: flags may say the rest.
  const content = contentOf(file, document, lines) ?? {};
  const result = FILE_SCHEMA.safeParse(content);
  if (!result.success) {
    throw new ConfigError(
      result.error.issues.flatMap((issue) => describeIssue(issue, content, FILE_SCHEMA, locate)),
    );
  }
  return { settings: result.data, locate };
}

/**
 * What the document says, with what its aliases stand for.
 * @throws ConfigError for an alias of nothing, of what it is in itself, and for very many
 */
function contentOf(file: string, document: Document, lines: LineCounter): unknown {
  const problems: string[] = [];
  visit(document, {
    Alias: (_, alias, path) => {
      const meant = alias.resolve(document);
      if (meant !== undefined && !path.some((node) => node === meant)) return;
      const what = meant === undefined ? 'there is nothing of this name before it' : 'it is in itself';
      const place = `${file}, line ${lines.linePos(alias.range?.[0] ?? 0).line}`;
      problems.push(
        `${place}: *${alias.source} is an alias, and ${what}; a value that begins with * goes in quotes`,
      );
    },
  });
  if (problems.length > 0) throw new ConfigError(problems);
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch {
    throw new ConfigError([`${file}: its aliases stand for too much`]);
  }
}

/**
 * Checks what the file has at a place against a schema of its own.
 * @returns every mistake, as a sentence that says where
 */
export function checkAgainst(
  schema: z.ZodType,
  content: unknown,
  at: KeyPath,
  locate: (path: KeyPath) => string,
): readonly string[] {
  const issues = schema.safeParse(content).error?.issues ?? [];
  return issues.flatMap((issue) => describeIssue(issue, content, schema, (path) => locate([...at, ...path])));
}

function sentence(error: { code: string; message: string }): string {
  return error.code === 'DUPLICATE_KEY'
    ? 'the same key stands twice in one map'
    : error.message.replaceAll('\n', ' ');
}

function describePlace(file: string, document: Document, lines: LineCounter, path: KeyPath): string {
  let node: unknown = document.contents;
  let offset: number | undefined;
  const steps: PropertyKey[] = [];
  for (const step of path) {
    // A string that stands for a map has no keys of its own.
    if (isScalar(node) && node.value !== null) break;
    steps.push(step);
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
    if (pair !== undefined && isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
    node = document.getIn(steps, true);
    if (pair === undefined) offset = startOf(node) ?? offset;
  }
  const line = offset === undefined ? '' : `, line ${lines.linePos(offset).line}`;
  return steps.length === 0 ? `${file}${line}` : `${file}${line}, ${keyText(steps)}`;
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined;
  const { range } = node;
  if (!Array.isArray(range)) return undefined;
  const first: unknown = range[0];
  return typeof first === 'number' ? first : undefined;
}

/** `domains.example.org.upstreams[0]`. */
function keyText(path: KeyPath): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .slice(1);
}

type Issue = z.core.$ZodIssue;

function describeIssue(
  issue: Issue,
  content: unknown,
  schema: z.ZodType,
  locate: (path: KeyPath) => string,
): readonly string[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path, schema);
    return issue.keys.map((key) => {
      return `${locate([...issue.path, key])}: there is no such key${didYouMean(key, known)}`;
    });
  }
  const value = valueAt(content, issue.path);
  return [`${locate(issue.path)}: ${complaint(issue, value)}`];
}

function complaint(issue: Issue, value: unknown): string {
  if (value === undefined && issue.code === 'invalid_type')
    return `is missing (a ${wordFor(issue.expected)})`;
  switch (issue.code) {
    case 'invalid_type':
      return `must be a ${wordFor(issue.expected)}, not ${shown(value)}`;
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}, not ${shown(value)}${
        typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : ''
      }`;
    case 'too_small':
      if (issue.origin === 'array' || issue.origin === 'string') return 'must not be empty';
      return `must be at least ${issue.minimum}, not ${shown(value)}`;
    case 'too_big':
      return `must be at most ${issue.maximum}, not ${shown(value)}`;
    case 'custom':
      return issue.message;
    default:
      return `${issue.message}, not ${shown(value)}`;
  }
}

function wordFor(expected: string): string {
  switch (expected) {
    case 'object':
    case 'record':
      return 'map of keys';
    case 'array':
      return 'list';
    case 'int':
      return 'whole number';
    default:
      return expected;
  }
}

function valueAt(content: unknown, path: KeyPath): unknown {
  let value = content;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return value;
    const next: unknown = Reflect.get(value, step);
    value = next;
  }
  return value;
}
