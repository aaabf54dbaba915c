import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';
import type { Crossing, Passage } from './traffic.js';

/** Width of the names of clients. */
const NAME = 6;

/** Attributes that say where something goes and what it is. */
const TELLING = ['mechanism', 'to', 'from', 'type', 'h', 'code', 'status'] as const;

/** Namespaces that are worth their room in a line. */
const MARKS: ReadonlyMap<string, string> = new Map([
  [NS.sm3, 'sm:3'],
  [NS.sm2, 'sm:2'],
  [NS.roster, 'roster'],
  [NS.discoInfo, 'disco#info'],
  [NS.discoItems, 'disco#items'],
  [NS.muc, 'muc'],
]);

/** What stands before the description: time, names, arrows. */
const HEAD = 40;
const NARROWEST = 80;

/** Writes what went through as lines of text: one per stanza, arrows from left (client) to right (server). */
export class Timeline {
  /**
   * @param coloured whether the reader is a terminal
   * @param width characters in a line
   */
  constructor(
    private readonly coloured: boolean,
    private readonly width: number,
  ) {}

  title(text: string): string {
    return `\n${this.#paint(1, text)}`;
  }

  legend(): string {
    return [
      `  ${this.#arrows(true, true, 'client')}   went through byte by byte`,
      `  ${this.#arrows(true, false, 'client')}   between client and proxy only`,
      `  ${this.#arrows(false, true, 'client')}   between proxy and server only`,
      `  ${this.#paint(33, '*')} what the proxy did`,
    ].join('\n');
  }

  line({ passage, through, note }: Crossing): string {
    const time = this.#paint(2, `${(passage.at / 1000).toFixed(2).padStart(6)}s`);
    const onClient = through || passage.leg === 'client';
    const onServer = through || passage.leg === 'server';
    const arrows = this.#arrows(onClient, onServer, passage.who, passage.direction);
    const text = shorten(describe(passage), Math.max(this.width, NARROWEST) - HEAD);
    const first = `${time}  ${arrows}  ${this.#paint(through ? 0 : 36, text)}`;
    if (note === undefined) return first;
    return `${first}\n${' '.repeat(9)}${this.#paint(33, `* ${note}`)}`;
  }

  #arrows(
    onClient: boolean,
    onServer: boolean,
    who: string,
    direction: Passage['direction'] = 'to-server',
  ): string {
    const arrow = direction === 'to-server' ? '──▶' : '◀──';
    const left = onClient ? `${who.padEnd(NAME)} ${arrow}` : ' '.repeat(NAME + 4);
    const right = onServer ? `${arrow} server` : ' '.repeat(10);
    return `${left} proxy ${right}`;
  }

  #paint(code: number, text: string): string {
    return this.coloured && code !== 0 ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** A stanza in one line: its name, where it goes, what is in it. Authentication is never shown. */
export function describe({ kind, element, xml, direction }: Passage): string {
  if (kind === 'end') return '</stream:stream>';
  if (element === undefined) {
    const to = /\sto='([^']*)'/.exec(xml)?.[1];
    return to === undefined ? '<stream:stream>' : `<stream:stream to='${to}'>`;
  }
  const name = element.getName();
  const namespace = element.getNS() ?? '';
  const mark = MARKS.get(namespace);
  let text = `<${name}${mark === undefined ? '' : ` ${mark}`}`;
  for (const attribute of TELLING) {
    const value: unknown = element.attrs[attribute];
    // To whom, on the way to a client, is that client.
    if (attribute === 'to' && direction === 'to-client') continue;
    if (typeof value === 'string') text += ` ${attribute}='${value}'`;
  }
  text += '>';
  if (namespace === NS.sasl) return element.getText() === '' ? text : `${text}…`;
  const body = element.getChildText('body');
  if (body !== null && body !== undefined && body !== '') return `${text} “${body}”`;
  const inside = element.getChildElements().map(childName);
  return inside.length === 0 ? text : `${text} ${inside.join(' ')}`;
}

function childName(child: Element): string {
  if (child.getNS() === NS.sasl) {
    const names = child.getChildren('mechanism').map((mechanism) => mechanism.getText());
    return `mechanisms(${names.join(' ')})`;
  }
  const mark = MARKS.get(child.getNS() ?? '');
  if (mark !== undefined) return mark;
  const statuses = child.getChildren('status').map(({ attrs }) => String(attrs.code ?? ''));
  return statuses.length === 0 ? child.getName() : `${child.getName()}(${statuses.join(' ')})`;
}

function shorten(text: string, longest: number): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
}
