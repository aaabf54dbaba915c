import { Buffer } from 'node:buffer';
import { NAME, NAME_START } from '../characters.js';
import { type NamespaceContext, standardContext } from '../context.js';
import { Frame } from '../frame.js';
import { A_SIZE, C_SIZE, FrameRecords } from '../frame-records.js';
import type { XmlLimits } from '../limits.js';
import { NamespaceTable, NS } from '../namespaces.js';
import { SCANNER_WASM } from './code.js';

// Where things are in the memory; the same numbers as in assembly/scanner.ts.
const RESULT = 512;
const ROOT_ATTRIBUTES = 4096;
const CHILDREN = 5120;
const NAMESPACES = 8192;
const NAMESPACE_NAMES = 16_384;
const INPUT = 32_768;

const MOST_DEPTH = 16;
const MOST_ATTRIBUTES = 16;
const MOST_CHILDREN = 64;
const MOST_NAMESPACES = 256;

/** As many bytes as Node reads from a socket at a time. */
const INPUT_BYTES = 65_536;
/** Of a larger chunk a part is loaded; the next one when the scan has come this far. */
const LOAD_AFTER = INPUT_BYTES / 2;

interface Code {
  addNamespace(start: number, length: number, id: number): void;
  scan(base: number, inherited: number): number;
}

const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
const code = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(SCANNER_WASM, 'base64')), {
  env: { memory },
}).exports as unknown as Code;
const bytes = Buffer.from(memory.buffer);
const result = new Int32Array(memory.buffer, RESULT, 9);
for (let c = 0; c < 256; c++) bytes[c] = NAME[c]! | (NAME_START[c]! << 1);

/**
 * Where received bytes may be put, to be handed on with `takeReceived`: the scanner works on its own memory, and
 * so one copy less is made of them.
 */
export const READ_AREA: Buffer = bytes.subarray(INPUT, INPUT + INPUT_BYTES);

const records = new FrameRecords(new NamespaceTable([]), standardContext(new NamespaceTable([])));
records.rootAttributes = new Int32Array(memory.buffer, ROOT_ATTRIBUTES, MOST_ATTRIBUTES * A_SIZE);
records.children = new Int32Array(memory.buffer, CHILDREN, MOST_CHILDREN * C_SIZE);
records.rootLocal = 1;

/** Shows what was scanned last, until the next scan. */
export const scanned: Frame = new Frame(Buffer.alloc(0), records, records.context, records.namespaces);

/** The chunk whose bytes stand in the area; nobody writes to a chunk once it has been handed on. */
let loaded: Buffer | undefined;
/** Where in the chunk the area begins. */
let loadedFrom = 0;
let loadedTable: NamespaceTable | undefined;
/** `scanned` is being looked at: what is read meanwhile goes to the state machine. */
let inUse = false;

/**
 * Chunks are cut from slabs: Node shares an allocation only among buffers below 4 KiB, and to allocate and free one for every read cost more than
 * reading it. A chunk that is kept keeps its slab, so a chunk has to be a good part of it or small in number.
 */
const SLAB_BYTES = 65_536;
const SHARED_CHUNK = SLAB_BYTES / 4;
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let slabUsed = 0;

/** The first `length` bytes of `READ_AREA` as a chunk of its own, which may be kept. */
export function takeReceived(length: number): Buffer {
  let chunk: Buffer;
  if (length > SHARED_CHUNK) chunk = Buffer.allocUnsafeSlow(length);
  else {
    if (slabUsed + length > SLAB_BYTES) {
      slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      slabUsed = 0;
    }
    chunk = slab.subarray(slabUsed, slabUsed + length);
    slabUsed += length;
  }
  READ_AREA.copy(chunk, 0, 0, length);
  bytes[INPUT + length] = 0;
  loaded = chunk;
  loadedFrom = 0;
  return chunk;
}

/** Whether stanzas may be scanned that are read under these rules. */
export function isScannable(limits: XmlLimits, context: NamespaceContext): boolean {
  const index = context.uris.indexOf(NS.client);
  return (
    // The scanner takes nothing with a prefix, so what else the header declares does not matter.
    index >= 0 &&
    context.prefixes[index]!.length === 0 &&
    context.marks[index] === 0 &&
    limits.depth >= MOST_DEPTH &&
    limits.attributes >= MOST_ATTRIBUTES &&
    limits.children >= MOST_CHILDREN &&
    // No more than one in scope per element.
    limits.namespaces >= MOST_DEPTH
  );
}

/**
 * Reads the stanza whose `<` is at `pos`, quickly, if it is one of the usual kind and there as a whole.
 *
 * @param context one that is scannable
 * @param limit the most bytes it may have
 * @returns behind its last `>`, `scanned` showing it; 0: it is for the state machine
 */
export function scanStanza(
  chunk: Buffer,
  pos: number,
  context: NamespaceContext,
  table: NamespaceTable,
  limit: number,
): number {
  if (inUse || (loadedTable !== table && !loadTable(table))) return 0;
  if (loaded !== chunk) load(chunk, chunk.length > INPUT_BYTES ? pos : 0);
  else if (pos - loadedFrom >= LOAD_AFTER && chunk.length - loadedFrom > INPUT_BYTES) load(chunk, pos);
  const base = INPUT + pos - loadedFrom;
  const end = code.scan(base, context.defaultNamespace);
  if (end === 0 || end - base > limit) return 0;
  records.context = context;
  records.childCount = result[0]!;
  records.rootAttributeCount = result[1]!;
  records.rootNameEnd = result[2]!;
  records.rootTagEnd = result[3]!;
  records.contentEnd = result[4]!;
  const namespaceId = result[5]!;
  records.rootNamespaceId = namespaceId;
  records.rootUri = result[6]!;
  records.rootUriEnd = result[7]!;
  scanned.buffer = chunk;
  scanned.start = pos;
  scanned.end = end - INPUT + loadedFrom;
  scanned.kind = result[8]! as Frame['kind'];
  scanned.namespaceId = namespaceId;
  scanned.context = context;
  return scanned.end;
}

/** To be called before and after `scanned` is shown to somebody who may push further bytes, of another stream. */
export function setInUse(value: boolean): void {
  inUse = value;
}

function load(chunk: Buffer, from: number): void {
  const length = chunk.copy(READ_AREA, 0, from);
  bytes[INPUT + length] = 0;
  loaded = chunk;
  loadedFrom = from;
}

/** There is one table in a program, so this happens once. */
function loadTable(table: NamespaceTable): boolean {
  if (table.size > MOST_NAMESPACES) return false;
  bytes.fill(0, NAMESPACES, NAMESPACE_NAMES);
  loadedTable = undefined;
  let at = NAMESPACE_NAMES;
  for (let id = 1; id < table.size; id++) {
    const name = table.uri(id);
    const length = Buffer.byteLength(name);
    if (at + length > INPUT) return false;
    bytes.write(name, at);
    code.addNamespace(at, length, id);
    at += length;
  }
  loadedTable = table;
  records.namespaces = table;
  scanned.namespaces = table;
  return true;
}
