import pino, { type DestinationStream, type Logger } from 'pino';
import type { Config } from '../config/model.js';

export type LogLevel = Config['logLevel'];

/**
 * Fields that must never reach a log, whoever writes them: payloads of authentication, contents of stanzas, ids that grant something.
 * The places that log do not use them; this is the second lock.
 */
const FORBIDDEN = [
  'password',
  'auth',
  'payload',
  'challenge',
  'response',
  'body',
  'subject',
  'stanza',
  'xml',
  'bytes',
  'token',
  'resumptionId',
  'previd',
  'key',
];

/**
 * The process's logger: one JSON object a line.
 * @param destination standard output when absent
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: { pid: process.pid },
    redact: { paths: [...FORBIDDEN, ...FORBIDDEN.map((name) => `*.${name}`)], remove: true },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Says that all listeners are up. Scripts wait for this line, so it is written at any log level. */
export function logReady(log: Logger, fields: Readonly<Record<string, unknown>>): void {
  log.child({}, { level: 'info' }).info(fields, 'ready');
}
