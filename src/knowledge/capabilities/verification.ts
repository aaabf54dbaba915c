import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Element } from 'ltx';
import { NS } from '../../xml/namespaces.js';

/**
 * The two ways in which a service-discovery answer is hashed. Both return undefined for an answer that must not be hashed:
 * what it says then counts for the entity that said it and for nobody else.
 */

/** XEP-0300 §4.2 names of the hash functions that may vouch for an answer, with Node's names for them. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  'sha-1': 'sha1',
  'sha-224': 'sha224',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
  'sha3-256': 'sha3-256',
  'sha3-512': 'sha3-512',
  'blake2b-512': 'blake2b512',
};

export function isSupportedHash(algorithm: string): boolean {
  return Object.hasOwn(FUNCTIONS, algorithm);
}

/** Base64 of the hash. @param algorithm one for which `isSupportedHash` */
export function digest(algorithm: string, input: Buffer): string {
  return createHash(FUNCTIONS[algorithm]!).update(input).digest('base64');
}

/** Order of i;octet (RFC 4790 §9.3) on strings: that of their UTF-8, which UTF-16 order is not. */
function byOctets(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function sorted(strings: readonly string[]): string[] {
  return [...strings].sort(byOctets);
}

function attribute(element: Element, name: string): string {
  const value: unknown = element.attrs[name];
  return typeof value === 'string' ? value : '';
}

function values(field: Element): string[] {
  return field.getChildren('value').map((value) => value.getText());
}

function hasDuplicates(strings: readonly string[]): boolean {
  return new Set(strings).size !== strings.length;
}

/** The FORM_TYPE of a data form (XEP-0068); undefined without one that is hidden. */
function formType(form: Element): string[] | undefined {
  const field = form.getChildren('field').find((candidate) => attribute(candidate, 'var') === 'FORM_TYPE');
  return field !== undefined && attribute(field, 'type') === 'hidden' ? values(field) : undefined;
}

/**
 * The string S of XEP-0115 §5.1, made from a disco#info result.
 *
 * Refused is what §5.4 calls ill-formed, and beyond that whatever would let one S stand for two answers: the separators are not
 * escaped (§9.2; https://mail.jabber.org/pipermail/security/2009-July/000812.html), so that features can pass as identities or
 * as a form, and an attacker could take them away from everybody who announces the hash.
 */
export function verificationString(query: Element): Buffer | undefined {
  const identities: string[][] = [];
  const features: string[] = [];
  const forms: { type: string; fields: string[] }[] = [];
  for (const child of query.getChildElements()) {
    if (child.is('identity', NS.discoInfo)) {
      identities.push(['category', 'type', 'xml:lang', 'name'].map((name) => attribute(child, name)));
    } else if (child.is('feature', NS.discoInfo)) {
      features.push(attribute(child, 'var'));
    } else if (child.is('x', NS.dataForms)) {
      const types = formType(child);
      // §5.4 3.6: a form without a hidden FORM_TYPE is not counted.
      if (types === undefined) continue;
      if (new Set(types).size !== 1) return undefined;
      const fields = formFields(child);
      if (fields === undefined) return undefined;
      forms.push({ type: types[0]!, fields });
    }
  }

  if (identities.length === 0 || identities.some(isDisguisedFeature)) return undefined;
  if (hasDuplicates(identities.map((identity) => identity.join('/'))) || hasDuplicates(features))
    return undefined;
  if (hasDuplicates(forms.map((form) => form.type))) return undefined;

  // Sorted part by part: in a joined string the `/` would take part in the order.
  identities.sort((a, b) => byOctets(a[0]!, b[0]!) || byOctets(a[1]!, b[1]!) || byOctets(a[2]!, b[2]!));
  forms.sort((a, b) => byOctets(a.type, b.type));
  const parts = [
    ...identities.map((identity) => identity.join('/')),
    ...sorted(features),
    ...forms.flatMap((form) => [form.type, ...form.fields]),
  ];
  if (parts.some((part) => part.includes('<'))) return undefined;
  return Buffer.from(parts.map((part) => `${part}<`).join(''));
}

/** `http://jabber.org/protocol/muc` reads as category `http:`, no type, language `jabber.org`. */
function isDisguisedFeature([category, type]: readonly string[]): boolean {
  return /[:/]/u.test(category!) || type!.includes('/');
}

function formFields(form: Element): string[] | undefined {
  const fields = form.getChildren('field').filter((field) => attribute(field, 'var') !== 'FORM_TYPE');
  const names = fields.map((field) => attribute(field, 'var'));
  // A form of a name alone, or with a URI for a field: what the last features of a list would look like.
  if (names.length === 0 || names.some((name) => name.includes(':'))) return undefined;
  return fields
    .sort((a, b) => byOctets(attribute(a, 'var'), attribute(b, 'var')))
    .flatMap((field) => [attribute(field, 'var'), ...sorted(values(field))]);
}

const FILE_END = '\x1c';
const GROUP_END = '\x1d';
const RECORD_END = '\x1e';
const UNIT_END = '\x1f';

/**
 * The input of the hash functions of XEP-0390 §4.1, made from a disco#info result.
 *
 * @param language the `xml:lang` that is in force around the query
 */
export function hashInput(query: Element, language: string): Buffer | undefined {
  const features: string[] = [];
  const identities: string[] = [];
  const forms: string[] = [];
  const inherited = attribute(query, 'xml:lang') || language;
  for (const child of query.getChildElements()) {
    if (child.is('feature', NS.discoInfo)) {
      features.push(attribute(child, 'var') + UNIT_END);
    } else if (child.is('identity', NS.discoInfo)) {
      const lang = attribute(child, 'xml:lang') || inherited;
      const parts = [attribute(child, 'category'), attribute(child, 'type'), lang, attribute(child, 'name')];
      identities.push(parts.map((part) => part + UNIT_END).join('') + RECORD_END);
    } else if (child.is('x', NS.dataForms)) {
      if (child.getChild('reported') ?? child.getChild('item')) return undefined;
      if (formType(child)?.length !== 1) return undefined;
      const fields = child.getChildren('field').map((field) => {
        const contents = sorted(values(field).map((value) => value + UNIT_END)).join('');
        return attribute(field, 'var') + UNIT_END + contents + RECORD_END;
      });
      forms.push(sorted(fields).join('') + GROUP_END);
    } else {
      return undefined;
    }
  }
  const sections = [features, identities, forms].map((section) => sorted(section).join('') + FILE_END);
  return Buffer.from(sections.join(''));
}

/** The `var` of every feature of a disco#info result. */
export function featuresIn(query: Element): Set<string> {
  const features = query.getChildren('feature', NS.discoInfo).map((feature) => attribute(feature, 'var'));
  return new Set(features.filter((feature) => feature !== ''));
}
