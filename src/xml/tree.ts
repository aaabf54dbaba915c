import type { Buffer } from 'node:buffer';
import { Element } from 'ltx';
import { SaxesParser } from 'saxes';
import type { Frame } from './frame.js';
import { NS } from './namespaces.js';

/**
 * An ltx Element that resolves names as Namespaces in XML 1.0 says.
 *
 * ltx takes `xmlns=''` for no declaration, so that `<body xmlns=''/>` would pass for the stanza's body; and it
 * keeps attributes in a plain object, where one named `__proto__` or `hasOwnProperty` is lost or breaks it.
 */
class ResolvingElement extends Element {
  constructor(name: string) {
    super(name);
    this.attrs = Object.create(null) as Record<string, string>;
  }

  override findNS(prefix?: string): string | undefined {
    if (prefix === 'xml') return NS.xml;
    const attribute = prefix ? `xmlns:${prefix}` : 'xmlns';
    for (let at: Element | null = this; at !== null; at = at.parent) {
      const uri: unknown = at.attrs[attribute];
      if (typeof uri === 'string') return uri;
    }
    return undefined;
  }

  override getXmlns(): { [uri: string]: string } {
    const declared = (this.parent?.getXmlns() ?? Object.create(null)) as { [uri: string]: string };
    for (const [name, uri] of Object.entries(this.attrs as Record<string, string>)) {
      if (name === 'xmlns') declared[uri] = '';
      else if (name.startsWith('xmlns:')) declared[uri] = name.slice('xmlns:'.length);
    }
    return declared;
  }
}

/**
 * The tree of a stanza. It stands on its own: what the stanza inherits from the header of its stream is declared
 * on its root. Comments and the like do not exist in it; CDATA is text.
 *
 * @param frame without flaw (`repair` the stanza first), and so at most as deep as the limits say
 * @throws Error if the frame is flawed: that is a mistake of the caller
 */
export function frameToElement(frame: Frame): Element {
  const { context } = frame;
  const inherited = Object.fromEntries(
    context.prefixes.map((prefix, i) => [prefix.toString(), context.uris[i]!]),
  );
  return read(frame.toString(), inherited);
}

/**
 * The tree of one element outside a stream, with nothing declared around it.
 *
 * @param bytes UTF-8, trusted: made by this program, or accepted by `parseStanza`
 * @throws Error if they are not well-formed
 */
export function parseElement(bytes: Buffer): Element {
  return read(bytes.toString('utf8'), {});
}

function read(xml: string, inherited: Record<string, string>): Element {
  const parser = new SaxesParser({ xmlns: true, additionalNamespaces: inherited });
  let root: Element | undefined;
  let current: Element | null = null;

  const declare = (prefix: string, uri: string): void => {
    const name = prefix === '' ? 'xmlns' : `xmlns:${prefix}`;
    if (root !== undefined && prefix !== 'xml' && current?.findNS(prefix) === undefined)
      root.attrs[name] = uri;
  };
  const text = (value: string): void => {
    if (current === null || value === '') return;
    const { children } = current;
    const last = children.length - 1;
    // Text and CDATA are one text to the application.
    if (typeof children[last] === 'string') children[last] += value;
    else children.push(value);
  };

  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', (tag) => {
    const element = new ResolvingElement(tag.name);
    for (const attribute of Object.values(tag.attributes)) element.attrs[attribute.name] = attribute.value;
    if (current === null) root = element;
    else current.cnode(element);
    current = element;
    declare(tag.prefix, tag.uri);
    for (const { prefix, uri } of Object.values(tag.attributes)) {
      if (prefix !== '' && prefix !== 'xmlns') declare(prefix, uri);
    }
  });
  parser.on('closetag', () => {
    current = current?.parent ?? null;
  });
  parser.on('text', text);
  parser.on('cdata', text);
  parser.write(xml).close();
  if (root === undefined) throw new Error('no element');
  return root;
}
