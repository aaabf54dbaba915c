import type { Element } from 'ltx';

/** What XML cannot carry at all, not even as a reference: C0 controls, U+FFFE, U+FFFF, lone surrogates. */
const NOT_CHAR =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
};
const escapeCharacter = (c: string): string => ESCAPES[c]!;

/** Printable ASCII that stands for itself, as in most addresses and ids. */
const PLAIN = /^[ !#-%(-;=?-~]*$/;

/**
 * A string as the content of an attribute, for quotes of either kind. Tab, line feed and carriage return become
 * references, or a reader would turn them into spaces (XML 1.0 §3.3.3). What XML cannot carry becomes U+FFFD.
 */
export function escapeAttribute(value: string): string {
  if (PLAIN.test(value)) return value;
  return value.replace(NOT_CHAR, '\ufffd').replace(/[&<>'"\t\n\r]/g, escapeCharacter);
}

/**
 * A string as character data. Carriage return becomes a reference, or a reader would turn it into a line feed
 * (XML 1.0 §2.11). What XML cannot carry becomes U+FFFD.
 */
export function escapeText(value: string): string {
  return value.replace(NOT_CHAR, '\ufffd').replace(/[&<>\r]/g, escapeCharacter);
}

/**
 * A tree as XML, on its own: what it inherits from nothing must be declared in it, as `frameToElement` sees to.
 *
 * Not ltx's `toString`, which leaves line ends in attributes and carriage returns in text to be normalised away by
 * the next reader, and writes characters that XML cannot carry.
 */
export function serializeElement(element: Element): string {
  let out = `<${element.name}`;
  for (const [name, value] of Object.entries(element.attrs as Record<string, unknown>)) {
    if (value !== undefined && value !== null) out += ` ${name}='${escapeAttribute(String(value))}'`;
  }
  if (element.children.length === 0) return `${out}/>`;
  out += '>';
  for (const child of element.children) {
    out += typeof child === 'string' ? escapeText(child) : serializeElement(child);
  }
  return `${out}</${element.name}>`;
}
