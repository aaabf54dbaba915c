import { type ConfigFlags, loadConfig } from '../config/load.js';
import { type Config, type DomainConfig, presentsCertificates } from '../config/model.js';
import { parseJid } from '../jid.js';
import { type Assessment, assessUpstream, type UpstreamView } from '../stream/assessment.js';
import { CertificateError, readKeyPair } from '../transport/certificate-files.js';
import { selfSignedFiles } from '../transport/self-signed.js';
import { configFlags, type FlagSpec, parseFlags, SERVING_FLAGS, UsageError } from './arguments.js';
import { probeUpstream } from './doctor/probe.js';
import { reportAsJson, reportAsText } from './doctor/report.js';
import type { Credentials } from './sign-in.js';

export const DOCTOR_HELP = `Usage: interstanza doctor --domain D --upstream URL [flags]
       interstanza doctor --config FILE [--domain D] [flags]

Connects to the servers as the proxy would and says what they offer, what Interstanza
does about each offer, and what should be changed on the server. Changes nothing.

  --config FILE      look at every server of every domain in the file
  --domain D         XMPP domain (with --config: only this one; repeatable)
  --upstream URL     its server, written as for serve (repeatable)
  --jid JID          sign in as this account, to see what is offered behind authentication
  --password-stdin   read its password from the first line of standard input; it is used
                     over a connection that the proxy would accept only, and never shown
  --json             the same as JSON, one array
  --help             this text

Exit status: 0 when nothing has to be changed (hints are no reason), 1 when something
has, 2 when the command line or the configuration cannot be understood.

Examples:
  interstanza doctor --domain example.org --upstream xmpp://127.0.0.1:15222
  interstanza doctor --config /etc/interstanza.yaml --json
  interstanza doctor --domain example.org --upstream xmpp://xmpp.example.org \\
    --jid me@example.org --password-stdin < password-file
`;

const { config, domain, upstream, data } = SERVING_FLAGS;

const FLAGS: Readonly<Record<string, FlagSpec>> = {
  ...(config !== undefined && { config }),
  ...(domain !== undefined && { domain }),
  ...(upstream !== undefined && { upstream }),
  ...(data !== undefined && { data }),
  jid: { type: 'string' },
  'password-stdin': { type: 'boolean' },
  json: { type: 'boolean' },
};

/** A password that is longer is none. */
const LONGEST_PASSWORD = 4_096;

/** One server as it was found, and what follows from it. */
export interface Finding {
  readonly view: UpstreamView;
  readonly assessment: Assessment;
}

interface Visitor {
  readonly domain: string;
  readonly credentials: Credentials;
}

/**
 * The command `doctor`.
 * @returns the exit status
 * @throws UsageError, ConfigError
 */
export async function runDoctor(args: readonly string[]): Promise<number> {
  const values = parseFlags(args, FLAGS);
  if (values.has('help')) {
    process.stdout.write(DOCTOR_HELP);
    return 0;
  }
  const flags: ConfigFlags = configFlags(values);
  const visitor = await readVisitor(values.get('jid')?.[0], values.has('password-stdin'));
  const { config } = await loadConfig(flags);
  const domains = [...config.domains.values()];
  if (visitor !== undefined && !config.domains.has(visitor.domain)) {
    throw new UsageError(`--jid is of ${visitor.domain}, which is not among the domains to look at`);
  }
  const findings = (await Promise.all(domains.map((domain) => examine(domain, config, visitor)))).flat();
  if (values.has('json')) process.stdout.write(`${reportAsJson(findings)}\n`);
  else process.stdout.write(reportAsText(findings, wantsColour()));
  const grave = findings.some(({ assessment }) =>
    assessment.advice.some(({ weight }) => weight === 'problem'),
  );
  return grave ? 1 : 0;
}

async function examine(
  domain: DomainConfig,
  config: Config,
  visitor: Visitor | undefined,
): Promise<Finding[]> {
  const { name } = domain;
  const presented = await presentedTo(domain, config);
  const credentials = visitor?.domain === name ? visitor.credentials : undefined;
  const findings: Finding[] = [];
  // One after the other: they may be one machine under several names.
  for (const upstream of domain.upstreams) {
    const view = await probeUpstream(upstream, name, credentials);
    findings.push({ view, assessment: assessUpstream(view, upstream, presented) });
  }
  return findings;
}

/** SHA-256 of the certificate that `serve` would present to clients, as far as it is there; none is made for a look. */
async function presentedTo({ name, certificate }: DomainConfig, config: Config): Promise<string | undefined> {
  if (!presentsCertificates(config)) return undefined;
  const { certFile, keyFile } = certificate ?? selfSignedFiles(config.dataDir, name);
  try {
    return (await readKeyPair(certFile, keyFile, name)).sha256;
  } catch (error) {
    if (certificate === undefined && error instanceof CertificateError) return undefined;
    throw error;
  }
}

async function readVisitor(jid: string | undefined, fromStdin: boolean): Promise<Visitor | undefined> {
  if (jid === undefined) {
    if (fromStdin) throw new UsageError('--password-stdin needs --jid, whose password it is');
    return undefined;
  }
  const parsed = parseJid(jid);
  if (parsed === undefined || parsed.local === undefined || parsed.local === '') {
    throw new UsageError(`--jid ${jid} is not the address of an account, as in me@example.org`);
  }
  if (!fromStdin)
    throw new UsageError('--jid needs --password-stdin: a password on a command line is seen by everybody');
  const password = await readFirstLine();
  if (password === '') throw new UsageError('standard input has no password on its first line');
  return { domain: parsed.domain, credentials: { local: parsed.local, password } };
}

async function readFirstLine(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > LONGEST_PASSWORD) break;
  }
  const line = text.split(/\r?\n/, 1)[0] ?? '';
  if (line.length > LONGEST_PASSWORD)
    throw new UsageError('the first line of standard input is too long for a password');
  return line;
}

function wantsColour(): boolean {
  return process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
}
