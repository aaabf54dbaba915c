import type { Buffer } from 'node:buffer';
import { type Frame, StanzaKind } from '../xml/frame.js';
import type { NamespaceTable } from '../xml/namespaces.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';
import { Splice } from '../xml/splice.js';
import { parseTime, writeTime } from '../xml/times.js';
import { parseStanza } from '../xml/tokenizer.js';
import { frameToElement } from '../xml/tree.js';

/**
 * A stanza that has waited, saying since when (XEP-0203 §4).
 *
 * @param at ms since 1970
 * @param from whose server kept it: a domain
 * @returns undefined when there is nothing to say: iqs, errors, and what says it already
 */
export function withDelay(
  bytes: Buffer,
  at: number,
  from: string,
  namespaces: NamespaceTable,
): Buffer | undefined {
  const frame = parseStanza(bytes, namespaces);
  if ('condition' in frame) return undefined;
  if (frame.kind !== StanzaKind.Message && frame.kind !== StanzaKind.Presence) return undefined;
  if (frame.attributeEquals('type', 'error') || frame.findChild('delay', NS.delay) >= 0) return undefined;
  return new Splice(frame)
    .appendChild(`<delay xmlns='${NS.delay}' from='${escapeAttribute(from)}' stamp='${writeTime(at)}'/>`)
    .toBuffer();
}

/**
 * Since when a server has kept a stanza (XEP-0203 §2).
 *
 * @param from the server: a domain
 * @returns ms since 1970; undefined when it has not
 */
export function keptSince(frame: Frame, from: string): number | undefined {
  if (frame.findChild('delay', NS.delay) < 0) return undefined;
  const delays = frameToElement(frame).getChildren('delay', NS.delay);
  const stamp = delays.find((delay) => delay.attrs.from === from)?.attrs.stamp;
  const time = parseTime(String(stamp));
  return Number.isNaN(time) ? undefined : time;
}

/**
 * When a stanza that a server has kept came to the account.
 * COMPAT: Prosody dates what a session has not acknowledged by the account, and once more by itself when it keeps that for the account's next one.
 *
 * @param account its bare JID
 * @param from the server: a domain
 * @returns ms since 1970; undefined when the server has not kept it
 */
export function cameAt(frame: Frame, account: string, from: string): number | undefined {
  const kept = keptSince(frame, from);
  return kept === undefined ? undefined : Math.min(kept, keptSince(frame, account) ?? kept);
}
