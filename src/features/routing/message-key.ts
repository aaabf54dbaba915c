import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';

/**
 * What a message is known by on every way on which it can come: sender, id, and the text, because there are clients that give all their
 * messages one id or none. Equal ones are told apart by their number, see `Counts`.
 */
export function messageKey(frame: Frame): string {
  return `${frame.from ?? ''}\n${frame.id ?? ''}\n${bodyOf(frame)}`;
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
