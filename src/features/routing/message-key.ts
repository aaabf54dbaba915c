import { Buffer } from 'node:buffer';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';

/**
 * What a message is known by on every way on which it can come: sender, id, and the text, because there are clients that give all their
 * messages one id or none. Equal ones are told apart by their number, see `Counts`.
 */
export function messageKey(frame: Frame): string {
  return `${short(frame.from ?? '')}\n${short(frame.id ?? '')}\n${short(bodyOf(frame))}`;
}

/** So much of each part is kept. */
const LONGEST = 256;

function short(part: string): string {
  if (part.length <= LONGEST) return part;
  // By way of bytes, or the whole of it would be kept in memory with its beginning.
  return `${Buffer.from(part.slice(0, LONGEST)).toString()}… ${part.length}`;
}

function bodyOf(frame: Frame): string {
  const body = frame.findChild('body', NS.client);
  if (body < 0) return '';
  const element = frame.buffer.toString('utf8', frame.childStart(body), frame.childEnd(body));
  const content = element.slice(element.indexOf('>') + 1, element.lastIndexOf('</'));
  // Read only where the bytes may not be the meaning.
  const isPlain = element.startsWith('<body>') && !/[&<\r]/u.test(content);
  return isPlain ? content : (frameToElement(frame).getChildText('body', NS.client) ?? '');
}
