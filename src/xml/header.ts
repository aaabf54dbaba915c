import type { Buffer } from 'node:buffer';
import { sharedDeclarations } from './context.js';
import { type XmlError, xmlError } from './errors.js';
import {
  A_FLAGS,
  A_LOCAL,
  A_NAME,
  A_NAME_END,
  A_SIZE,
  A_VALUE,
  A_VALUE_END,
  DECLARATION,
  type FrameRecords,
} from './frame-records.js';
import { NS, STREAM_ID } from './namespaces.js';
import { attributeValue, equalsAscii } from './values.js';

/** The start tag of a stream (RFC 6120 §4.7, §4.8). Values as an application sees them; absent = undefined. */
export interface StreamHeader {
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  /** `xml:lang` */
  readonly lang: string | undefined;
  readonly version: string | undefined;
  /** The content namespace (RFC 6120 §4.8.2); undefined if the header declares no default namespace. */
  readonly defaultNamespace: string | undefined;
  /** Of the root's name: 'stream', or '' for `<stream xmlns='http://etherx.jabber.org/streams'>`. */
  readonly prefix: string;
  /** All declarations, prefix → URI; the default namespace is under ''. */
  readonly declarations: ReadonlyMap<string, string>;
}

/**
 * The header of which `records` are, or why it is none (RFC 6120 §4.8).
 *
 * From a server anything that frames is taken, without a default namespace too: jabberd2 opens the stream like
 * that when all it has to say is an error.
 */
export function readHeader(
  buf: Buffer,
  base: number,
  records: FrameRecords,
  fromServer: boolean,
): StreamHeader | XmlError {
  const declarations = new Map<string, string>();
  const values = new Map<string, string>();
  const a = records.rootAttributes;
  for (let at = 0; at < records.rootAttributeCount * A_SIZE; at += A_SIZE) {
    const flags = a[at + A_FLAGS]!;
    const name = buf.toString('utf8', base + a[at + A_NAME]!, base + a[at + A_NAME_END]!);
    const value = attributeValue(buf, base + a[at + A_VALUE]!, base + a[at + A_VALUE_END]!, flags);
    if ((flags & DECLARATION) === 0) values.set(name, value);
    else declarations.set(a[at + A_LOCAL] === a[at + A_NAME] ? '' : name.slice('xmlns:'.length), value);
  }
  if (records.rootNamespaceId !== STREAM_ID) return xmlError('stream-namespace');
  if (!equalsAscii(buf, base + records.rootLocal, base + records.rootNameEnd, 'stream'))
    return xmlError('not-a-stream');
  const prefix = records.rootLocal === 1 ? '' : buf.toString('utf8', base + 1, base + records.rootLocal - 1);
  // RFC 6120 §4.8.5: other prefixes were never understood by everyone.
  if (prefix !== '' && prefix !== 'stream') return xmlError('stream-prefix');
  const defaultNamespace = declarations.get('') || undefined;
  // RFC 6120 §4.8.2, §4.8.3: the default namespace is the content's, or, with prefix-free headers, the stream's;
  // then each stanza declares its own, or it is none.
  if (!fromServer && defaultNamespace !== NS.client && !(prefix === '' && defaultNamespace === NS.stream))
    return xmlError('content-namespace');
  return {
    to: values.get('to'),
    from: values.get('from'),
    id: values.get('id'),
    lang: values.get('xml:lang'),
    version: values.get('version'),
    defaultNamespace,
    prefix,
    declarations: sharedDeclarations(declarations),
  };
}
