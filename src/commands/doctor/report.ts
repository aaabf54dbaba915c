import type { ServerKind } from '../../session/feature.js';
import {
  type Assessment,
  describeFeatures,
  type StreamView,
  type UpstreamView,
} from '../../stream/assessment.js';
import { AFTER_AUTH } from '../../xml/limits.js';
import type { Finding } from '../doctor.js';

const NAMES: Readonly<Record<ServerKind, string>> = {
  prosody: 'Prosody',
  ejabberd: 'ejabberd',
  jabberd2: 'jabberd2',
  unknown: 'a server that does not say which it is',
};

/** The most a line of prose may have before it is broken. */
const WIDTH = 100;

interface Ink {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
}

/** @param coloured whether the reader is a terminal */
export function reportAsText(findings: readonly Finding[], coloured: boolean): string {
  const sgr = (code: number) => (text: string) => (coloured ? `\u001b[${code}m${text}\u001b[0m` : text);
  const ink: Ink = { bold: sgr(1), dim: sgr(2), red: sgr(31), yellow: sgr(33) };
  return `${findings.map((finding) => reportOne(finding, ink)).join('\n\n')}\n`;
}

/** Stable keys for scripts; features as words, never as they came. */
export function reportAsJson(findings: readonly Finding[]): string {
  return JSON.stringify(
    findings.map(({ view, assessment }) => ({
      ...assessment,
      offers: {
        beforeTls: offersOf(view.beforeTls),
        behindTls: offersOf(view.behindTls),
        behindAuth: offersOf(view.behindAuth),
      },
      tls: view.tls ?? null,
      end: view.end ?? null,
    })),
    null,
    2,
  );
}

function offersOf(stream: StreamView | undefined): readonly string[] | null {
  return stream === undefined ? null : describeFeatures(stream.features);
}

function reportOne({ view, assessment }: Finding, ink: Ink): string {
  const { domain, upstream, kind, certainty, treatments, limits, advice } = assessment;
  const name = certainty === 'guessed' ? `probably ${NAMES[kind]}` : NAMES[kind];
  const lines = [
    ink.bold(
      `${domain} at ${upstream}: ${view.end === undefined || kind !== 'unknown' ? name : 'not reached'}`,
    ),
  ];
  if (certainty === 'guessed')
    lines.push(...broken(guess(view, assessment), WIDTH - 2).map((line) => ink.dim(`  ${line}`)));
  const offers = seen(view);
  if (offers.length > 0) lines.push('', ink.bold('What the server offers'), ...table(offers));
  if (treatments.length > 0) {
    lines.push('', ink.bold('What Interstanza does about it'));
    lines.push(...table(treatments.map(({ offer, action, reason }) => [offer, action, reason])));
    lines.push('', ink.bold('What Interstanza holds back'));
    lines.push(...table(limitRows(assessment)));
  }
  if (view.end !== undefined && view.end.kind !== 'sign-in-refused') {
    lines.push('', ink.dim(`Looked no further: ${view.end.kind} (${view.end.detail}).`));
  } else if (view.behindAuth === undefined && limits !== undefined) {
    lines.push('', ink.dim('What it offers behind authentication shows with --jid and --password-stdin.'));
  }
  lines.push('', ink.bold('What to change'));
  if (advice.length === 0) lines.push('  nothing');
  for (const { weight, code, sentence } of advice) {
    const mark = weight === 'problem' ? ink.red('problem') : ink.yellow('hint   ');
    lines.push(`  ${mark}  ${ink.bold(code)}`);
    for (const line of broken(sentence, WIDTH - 11)) lines.push(`           ${line}`);
  }
  return lines.join('\n');
}

/** What the name of the server rests on, and how to be sure of it. */
function guess({ behindAuth }: UpstreamView, { kind, grounds }: Assessment): string {
  const more =
    behindAuth === undefined
      ? 'It says who it is behind authentication only: sign in with --jid and --password-stdin to be sure.'
      : 'It does not say who it is behind authentication either.';
  return `A guess: ${grounds}. What is said of ${NAMES[kind]} below holds if it is one. ${more}`;
}

function seen(view: UpstreamView): string[][] {
  const rows: string[][] = [];
  const row = (stage: string, stream: StreamView | undefined) => {
    if (stream === undefined) return;
    const features = describeFeatures(stream.features);
    rows.push([stage, features.length === 0 ? 'no features' : features.join(', ')]);
  };
  row('before TLS', view.beforeTls);
  if (view.tls !== undefined) {
    const { protocol, certificateFault, daysLeft } = view.tls;
    const verdict =
      certificateFault === undefined ? 'certificate in order' : `certificate: ${certificateFault}`;
    rows.push(['TLS', `${protocol}, ${verdict}${daysLeft === undefined ? '' : `, ${daysLeft} days left`}`]);
  }
  row('behind TLS', view.behindTls);
  row('behind authentication', view.behindAuth);
  return rows;
}

function limitRows({ limits }: Assessment): string[][] {
  const bytes = limits.stanzaBytes.toLocaleString('en');
  const levels = Math.min(limits.depth, AFTER_AUTH.depth);
  return [
    ['stanza', `more than ${bytes} bytes with all that the proxy adds: answered with policy-violation`],
    ['nesting', `more than ${levels} levels: the stream of the client that sends it is ended`],
  ];
}

/** Columns as wide as their widest cell; the last runs on, broken and indented. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.slice(0, -1).entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.flatMap((row) => {
    const head = row.slice(0, -1).map((cell, column) => cell.padEnd(widths[column] ?? 0));
    const start = `  ${head.join('  ')}  `;
    const [first = '', ...rest] = broken(row.at(-1) ?? '', Math.max(40, WIDTH - start.length));
    return [start + first, ...rest.map((line) => ' '.repeat(start.length) + line)];
  });
}

function broken(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
