import { Buffer } from 'node:buffer';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';

/** mu-conference's words to who is not in the room. */
const NOT_IN = 'You are not in this room';

/** To who says something in a room and is not in it the answer is `not-acceptable` (XEP-0045 §7.4). @returns the same error in that form, if it is one */
export function notAcceptable(stanza: PassingStanza): Verdict {
  const message = stanza.tree();
  const error = message.getChild('error');
  const condition = error?.getChild('not-allowed', NS.stanzaErrors);
  if (error === undefined || condition === undefined) return PASS;
  if (error.getChildText('text', NS.stanzaErrors) !== NOT_IN) return PASS;
  condition.name = 'not-acceptable';
  error.attrs.type = 'modify';
  error.attrs.code = '406';
  return { action: 'replace', bytes: Buffer.from(serializeElement(message)), reason: 'mucsub-refused' };
}
