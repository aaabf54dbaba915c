import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { isSameJid } from '../../jid.js';
import { Frame } from '../../xml/frame.js';
import { NamespaceTable, NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { parseStanza } from '../../xml/tokenizer.js';
import type { Settings } from './settings.js';

/** What an annotation says of a presence; `restored` is the empty one: it can be trusted again. */
export type Annotating = 'server-unavailable' | 'connection-paused' | 'restored';

/** A human-readable text and the language it is in. */
export interface Description {
  readonly text: string;
  readonly language: string | undefined;
}

/** An annotation as it came. */
export interface Annotation {
  /** Index of the child in its frame. */
  readonly child: number;
  readonly from: string | undefined;
  readonly says: Annotating;
  readonly descriptions: readonly Description[];
}

/** Longer descriptions than this are cut where a legacy client is shown them. */
const LONGEST_DESCRIPTION = 500;

const NAMESPACES = new NamespaceTable(Object.values(NS));

/** Whether a presence has annotations at all; costs no tree. */
export function isAnnotated(frame: Frame): boolean {
  return frame.findChild('state-annotation', NS.psa) >= 0;
}

/** The indices of all annotations of a presence. */
export function annotationChildren(frame: Frame): number[] {
  const children: number[] = [];
  for (let i = 0; i < frame.childCount; i++)
    if (frame.childIs(i, 'state-annotation', NS.psa)) children.push(i);
  return children;
}

/** @param tree of the same presence */
export function readAnnotations(frame: Frame, tree: Element): Annotation[] {
  const elements = tree.getChildElements();
  return annotationChildren(frame).map((child) => {
    const element = elements[child]!;
    const from: unknown = element.attrs.from;
    const descriptions = element.getChildren('description', NS.psa).map((description) => ({
      text: description.getText().trim().slice(0, LONGEST_DESCRIPTION),
      language: languageOf(description),
    }));
    return {
      child,
      from: typeof from === 'string' ? from : undefined,
      says: saying(element),
      descriptions: descriptions.filter((description) => description.text !== ''),
    };
  });
}

function saying(element: Element): Annotating {
  if (element.getChild('server-unavailable', NS.psa) !== undefined) return 'server-unavailable';
  if (element.getChild('connection-paused', NS.psa) !== undefined) return 'connection-paused';
  // What is not known yet is taken for the graver one: only an element without a state says that all is well.
  const unknown = element.getChildElements().some((child) => child.getName() !== 'description');
  return unknown ? 'server-unavailable' : 'restored';
}

function languageOf(element: Element): string | undefined {
  const language: unknown = element.attrs['xml:lang'];
  return typeof language === 'string' ? language.toLowerCase() : undefined;
}

/**
 * Whether an annotation is believed (XEP-0310 §6): its author is the session's own domain, or the domain of the presence's sender, which of an
 * occupant is its MUC service.
 */
export function isBelieved(author: string | undefined, ownDomain: string, senderDomain: string): boolean {
  return author !== undefined && (isSameJid(author, ownDomain) || isSameJid(author, senderDomain));
}

/** The element. @param author the entity that annotates: a domain */
export function annotationXml(
  author: string,
  says: Annotating,
  description: Description | undefined,
): string {
  const head = `<state-annotation xmlns='${NS.psa}' from='${escapeAttribute(author)}'`;
  if (says === 'restored') return `${head}/>`;
  const language =
    description?.language === undefined ? '' : ` xml:lang='${escapeAttribute(description.language)}'`;
  const described =
    description === undefined ? '' : `<description${language}>${escapeText(description.text)}</description>`;
  return `${head}><${says}/>${described}</state-annotation>`;
}

/**
 * A presence with an annotation put into it, and those that it had taken out.
 * @param to replaces the address; undefined: it stays as it is
 * @returns undefined when the bytes are no stanza, which only a mistake of the program makes
 */
export function annotated(presence: Buffer, annotation: string, to?: string): Buffer | undefined {
  const frame = parseStanza(presence, NAMESPACES);
  if (!(frame instanceof Frame)) return undefined;
  const splice = new Splice(frame);
  for (const child of annotationChildren(frame)) splice.removeChild(child);
  if (to !== undefined) {
    splice.setAttribute('to', to);
    // It is another stanza than the one that had this id.
    splice.removeAttribute('id');
  }
  splice.appendChild(annotation);
  return splice.toBuffer();
}

/**
 * A presence made into one that enters a room.
 * @param x the element that says so (XEP-0045 §7.2.2)
 */
export function entering(presence: Buffer, to: string, x: string): Buffer | undefined {
  const frame = parseStanza(presence, NAMESPACES);
  if (!(frame instanceof Frame)) return undefined;
  const splice = new Splice(frame);
  for (let i = 0; i < frame.childCount; i++) if (frame.childIs(i, 'x', NS.muc)) splice.removeChild(i);
  for (const child of annotationChildren(frame)) splice.removeChild(child);
  splice.setAttribute('to', to).removeAttribute('id').appendChild(x);
  return splice.toBuffer();
}

/** The text of a setting that suits a language best: the same tag, the same language, the default, any. */
export function describe(
  settings: Settings,
  says: Annotating,
  language: string | undefined,
  domain: string,
): Description | undefined {
  const texts = textsFor(settings, says);
  if (texts === undefined) return undefined;
  const wanted = language?.toLowerCase();
  const choices = [wanted, wanted?.split('-')[0], settings.language.toLowerCase(), Object.keys(texts)[0]];
  const chosen = choices.find((choice) => choice !== undefined && Object.hasOwn(texts, choice));
  if (chosen === undefined) return undefined;
  return { text: texts[chosen]!.replaceAll('{domain}', domain), language: chosen };
}

function textsFor(settings: Settings, says: Annotating): Readonly<Record<string, string>> | undefined {
  if (says === 'restored') return undefined;
  const texts = says === 'server-unavailable' ? settings.serverUnavailable : settings.connectionPaused;
  return texts === false ? undefined : texts;
}
