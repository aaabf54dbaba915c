import type { StreamHeader } from '../xml/header.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';

/** What a stream header says besides its namespaces (RFC 6120 §4.7). */
export interface HeaderAttributes {
  readonly to?: string | undefined;
  readonly from?: string | undefined;
  readonly id?: string | undefined;
  readonly lang?: string | undefined;
  readonly version?: string | undefined;
}

/**
 * A stream header in the one form that both legs use: `jabber:client` as the default namespace, the prefix `stream`, and no other
 * declaration, so that what `portable` frames promise holds on either leg.
 */
export function streamHeader(attributes: HeaderAttributes): string {
  let head = `<?xml version='1.0'?><stream:stream xmlns='${NS.client}' xmlns:stream='${NS.stream}'`;
  if (attributes.to !== undefined) head += ` to='${escapeAttribute(attributes.to)}'`;
  if (attributes.from !== undefined) head += ` from='${escapeAttribute(attributes.from)}'`;
  if (attributes.id !== undefined) head += ` id='${escapeAttribute(attributes.id)}'`;
  if (attributes.version !== undefined) head += ` version='${escapeAttribute(attributes.version)}'`;
  if (attributes.lang !== undefined) head += ` xml:lang='${escapeAttribute(attributes.lang)}'`;
  return `${head}>`;
}

/** XMPP 1.0 or later; earlier streams have no features and no SASL (RFC 6120 §4.7.5). */
export function speaksFeatures(header: StreamHeader): boolean {
  return header.version !== undefined && /^[1-9]\d*\.\d+$/.test(header.version);
}
