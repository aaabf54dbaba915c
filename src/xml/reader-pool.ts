import { Buffer } from 'node:buffer';
import { ElementReader } from './element-reader.js';
import { Frame } from './frame.js';
import type { ReadingRules } from './records.js';

/** A reader and the frame that shows what it has read. */
export interface PooledReader {
  readonly reader: ElementReader;
  readonly frame: Frame;
}

/**
 * Readers nobody uses now. A session between stanzas holds none, so that ten thousand idle ones share a handful.
 * One is in use per element being read, plus one per stanza that a sink has parsed while being called.
 */
const idle: PooledReader[] = [];
const MOST_IDLE = 32;
/** A reader that a hostile stanza has blown up is not kept. */
const MOST_ROOM = 400;
const NO_BYTES = Buffer.alloc(0);

/** A reader to be given back with `releaseReader`. */
export function acquireReader(rules: ReadingRules): PooledReader {
  const pooled = idle.pop();
  if (pooled !== undefined) return pooled;
  const reader = new ElementReader(rules);
  return { reader, frame: new Frame(NO_BYTES, reader.records, rules.context, rules.namespaces) };
}

/** Gives a reader back. Its frame must not be used any more. */
export function releaseReader(pooled: PooledReader): void {
  if (idle.length >= MOST_IDLE || pooled.reader.records.room > MOST_ROOM) return;
  // Nor does an idle reader keep a chunk alive.
  pooled.frame.buffer = NO_BYTES;
  pooled.reader.forget();
  idle.push(pooled);
}
