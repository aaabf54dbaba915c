#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { UsageError } from './commands/arguments.js';
import { ConfigError, didYouMean } from './config/problem.js';

type Command = (args: readonly string[]) => Promise<number>;

/** Loaded on demand: `check` needs no sockets, and the demo's machinery is nothing for a server. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./commands/serve.js')).runServe,
  check: async () => (await import('./commands/check.js')).runCheck,
  doctor: async () => (await import('./commands/doctor.js')).runDoctor,
  demo: async () => (await import('./commands/demo.js')).runDemo,
};

const HELP = `Usage: interstanza COMMAND [flags]

A transparent proxy between XMPP clients and an XMPP server.

  serve    run the proxy
  check    say what is wrong with a configuration file
  doctor   connect to the servers, and say what they offer and what should be changed
  demo     show it at work, with a real server and two clients

  interstanza COMMAND --help   the flags of a command, with examples
  interstanza --version        the version

Examples:
  interstanza demo
  interstanza serve --domain example.org --upstream xmpp://127.0.0.1:15222
`;

async function run(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(HELP);
    return name === undefined ? 2 : 0;
  }
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${version()}\n`);
    return 0;
  }
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load === undefined) {
    throw new UsageError(`there is no command "${name}"${didYouMean(name, Object.keys(COMMANDS))}`);
  }
  const command = await load();
  return command(rest);
}

function version(): string {
  const description: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  if (typeof description !== 'object' || description === null || !('version' in description))
    return 'unknown';
  return String(description.version);
}

try {
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  // The operator's mistakes are sentences; a stack trace is for ours.
  if (error instanceof ConfigError) {
    for (const problem of error.problems) process.stderr.write(`interstanza: ${problem}\n`);
    process.exit(2);
  }
  if (error instanceof UsageError) {
    process.stderr.write(`interstanza: ${error.message}; --help shows what there is\n`);
    process.exit(2);
  }
  throw error;
}
