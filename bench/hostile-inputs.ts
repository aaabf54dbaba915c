import { Buffer } from 'node:buffer';
import { CHAT } from './streams.js';

export interface HostileInput {
  readonly name: string;
  readonly bytes: Buffer;
  /** How many bytes a write has. */
  readonly perWrite: number;
}

const SEGMENT = 1_448;
const BIG = 240_000;

function message(content: string): string {
  return `<message to='a@bench.example'>${content}</message>`;
}

/** As many as fit into a stanza of the largest size. */
function filled(piece: string, size = BIG): string {
  return piece.repeat(Math.floor(size / Buffer.byteLength(piece)));
}

function input(name: string, text: string, perWrite = SEGMENT): HostileInput {
  return { name, bytes: Buffer.from(text), perWrite };
}

const NESTED = `${'<a>'.repeat(90)}${'</a>'.repeat(90)}`;
const ATTRIBUTES = `<a ${Array.from({ length: 95 }, (_, i) => `a${i}=''`).join(' ')}/>`;
/** All names of the same length and with the same first letter: what quick comparisons like least. */
const PREFIXES = Array.from({ length: 100 }, (_, i) => `xmlns:p${100 + i}='urn:x${i}'`);
const SCOPE = `<a ${PREFIXES.slice(0, 90).join(' ')}>${filled('<p100:a/>', BIG - 4_000)}</a>`;

/** What the others are measured by. */
export const ORDINARY_INPUT: HostileInput = input('ordinary chat', filled(CHAT.toString()));

/** What costs parsers most: by length, depth, number, and by being cut into small pieces. Some are legal, some are refused. */
export const HOSTILE_INPUTS: readonly HostileInput[] = [
  input('240 kB of text', message(`<body>${filled('x')}</body>`)),
  input('16 kB of text, byte by byte', message(`<body>${filled('x', 16_000)}</body>`), 1),
  input('240 kB in one attribute', message(`<a b='${filled('x')}'/>`)),
  input('240 kB of entities', message(`<body>${filled('&amp;')}</body>`)),
  input('90 deep, again and again', message(filled(NESTED))),
  input('60 kB nested', message(filled('<a>', 60_000))),
  input('95 attributes, again and again', message(filled(ATTRIBUTES))),
  input('950 children', message(filled(`<a b='${'x'.repeat(240)}'/>`))),
  input('90 prefixes in scope', message(SCOPE)),
  input('bare & and 240 kB', message(`<body>&${filled('x')}</body>`)),
];
