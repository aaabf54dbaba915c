import type { Element } from 'ltx';
import type { PassingStanza } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import type { Annotating, Description } from './annotation.js';

/** RFC 6121 §4.7.2.1, from the most available to the least. */
const SHOWS: { readonly [says in Exclude<Annotating, 'restored'>]: 'away' | 'xa' } = {
  'server-unavailable': 'xa',
  'connection-paused': 'away',
};

/**
 * Says in a presence what an annotation says, in words that every client shows: `<show/>` and the description in `<status/>`. A client that is `xa`
 * anyway stays so.
 * @param tree of the same presence
 */
export function showAnnotation(
  stanza: PassingStanza,
  tree: Element,
  says: Exclude<Annotating, 'restored'>,
  descriptions: readonly Description[],
): void {
  const { frame } = stanza;
  const splice = stanza.edit();
  const shown = tree.getChildText('show', NS.client)?.trim();
  const show = shown === 'xa' ? 'xa' : SHOWS[says];
  for (let i = 0; i < frame.childCount; i++) {
    const replaced = frame.childIs(i, 'show', NS.client) || frame.childIs(i, 'status', NS.client);
    if (replaced && (frame.childIs(i, 'show', NS.client) || descriptions.length > 0)) splice.removeChild(i);
  }
  splice.appendChild(`<show>${show}</show>`);
  for (const { text, language } of descriptions) {
    const tag = language === undefined ? '' : ` xml:lang='${escapeAttribute(language)}'`;
    splice.appendChild(`<status${tag}>${escapeText(text)}</status>`);
  }
}
