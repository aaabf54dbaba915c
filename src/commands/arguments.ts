import { parseArgs } from 'node:util';
import type { ConfigFlags } from '../config/load.js';
import { didYouMean } from '../config/problem.js';

/** A command line that cannot be understood; the message is a sentence. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** One flag of a command. */
export interface FlagSpec {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
}

/** What a command line says: the values of each flag in order; boolean flags that are set have one empty value. */
export type FlagValues = ReadonlyMap<string, readonly string[]>;

const HELP: FlagSpec = { type: 'boolean', short: 'h' };

/** Flags that say what to serve; `serve` and `doctor` share them. */
export const SERVING_FLAGS: Readonly<Record<string, FlagSpec>> = {
  config: { type: 'string' },
  domain: { type: 'string', multiple: true },
  upstream: { type: 'string', multiple: true },
  listen: { type: 'string', multiple: true },
  data: { type: 'string' },
  admin: { type: 'string' },
  'log-level': { type: 'string' },
};

/**
 * Reads the flags of a command. `--help` and `-h` are known to every command.
 * @throws UsageError
 */
export function parseFlags(args: readonly string[], specs: Readonly<Record<string, FlagSpec>>): FlagValues {
  const known: Readonly<Record<string, FlagSpec>> = { ...specs, help: HELP };
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { type, short }]) => [
      name,
      short === undefined ? { type } : { type, short },
    ]),
  );
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') throw new UsageError(`unexpected argument "${token.value}"`);
    const spec = known[token.name];
    if (spec === undefined) {
      const near = didYouMean(
        token.rawName,
        Object.keys(known).map((name) => `--${name}`),
      );
      throw new UsageError(`unknown flag ${token.rawName}${near}`);
    }
    const given = values.get(token.name);
    if (spec.type === 'boolean') {
      if (token.value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
      values.set(token.name, ['']);
    } else if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--'))) {
      throw new UsageError(`${token.rawName} needs a value`);
    } else if (given === undefined) values.set(token.name, [token.value]);
    else if (spec.multiple === true) given.push(token.value);
    else throw new UsageError(`${token.rawName} is given twice`);
  }
  return values;
}

/** The flags of `SERVING_FLAGS` in the form in which the configuration is loaded. */
export function configFlags(values: FlagValues): ConfigFlags {
  const one = (name: string) => values.get(name)?.[0];
  const config = one('config');
  const data = one('data');
  const admin = one('admin');
  const logLevel = one('log-level');
  return {
    ...(config !== undefined && { config }),
    domains: values.get('domain') ?? [],
    upstreams: values.get('upstream') ?? [],
    listeners: values.get('listen') ?? [],
    ...(data !== undefined && { data }),
    ...(admin !== undefined && { admin }),
    ...(logLevel !== undefined && { logLevel }),
  };
}
