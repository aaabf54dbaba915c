import { loadConfig } from '../config/load.js';
import { configFlags, parseFlags, SERVING_FLAGS, UsageError } from './arguments.js';

export const CHECK_HELP = `Usage: interstanza check --config FILE

Reads a configuration file and everything it names, and says what is wrong with it:
one sentence per mistake, with file, line and key. Opens no port and connects nowhere.

  --config FILE   the file to check
  --help          this text

Exit status: 0 when the file can be run with (warnings are shown), 2 when not.

Example:
  interstanza check --config /etc/interstanza.yaml
`;

/**
 * The command `check`.
 * @returns the exit status
 * @throws UsageError, ConfigError
 */
export async function runCheck(args: readonly string[]): Promise<number> {
  const values = parseFlags(args, { config: SERVING_FLAGS.config ?? { type: 'string' } });
  if (values.has('help')) {
    process.stdout.write(CHECK_HELP);
    return 0;
  }
  const flags = configFlags(values);
  if (flags.config === undefined) throw new UsageError('check needs --config FILE');
  const { config, warnings } = await loadConfig(flags);
  for (const warning of warnings) process.stdout.write(`warning: ${warning}\n`);
  const domains = [...config.domains.keys()].join(', ');
  process.stdout.write(
    `${flags.config} is in order: ${config.listeners.length} listener(s) for ${domains}\n`,
  );
  return 0;
}
