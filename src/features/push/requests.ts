import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { PublishOption } from './registrations.js';

/** What a client asks for, or why not (XEP-0357 §5, §6). */
export type PushRequest =
  | {
      readonly kind: 'enable';
      /** Prepared. */
      readonly service: string;
      /** '' for none. */
      readonly node: string;
      readonly options: readonly PublishOption[];
    }
  /** @see node undefined: all nodes of the service */
  | { readonly kind: 'disable'; readonly service: string; readonly node: string | undefined }
  | {
      readonly kind: 'refused';
      readonly condition: 'bad-request' | 'jid-malformed' | 'not-acceptable';
      readonly text: string;
    };

/** Characters of a node's name. */
const LONGEST_NODE = 1_024;
/** Of the names and values of all publish options together. */
const LONGEST_OPTIONS = 4_096;
const MOST_OPTIONS = 32;
const PUBLISH_OPTIONS = `${NS.pubsub}#publish-options`;

/** Reads an iq of type `set` with a child in the namespace of push notifications. */
export function readRequest(iq: Element): PushRequest {
  const [payload, ...others] = iq.getChildElements();
  const name = payload?.getNS() === NS.push ? payload.getName() : '';
  if (payload === undefined || others.length > 0 || (name !== 'enable' && name !== 'disable'))
    return refused('bad-request', 'Either <enable/> or <disable/> is expected');
  const { jid, node } = payload.attrs as Record<string, string | undefined>;
  if (jid === undefined) return refused('bad-request', 'The push service has to be named by its jid');
  const service = prepareJid(jid);
  if (service === undefined) return refused('jid-malformed', 'The jid of the push service is none');
  if (node !== undefined && node.length > LONGEST_NODE)
    return refused('not-acceptable', 'The name of the node is too long');
  if (name === 'disable') return { kind: 'disable', service, node };
  const options = readOptions(payload);
  if (options === undefined) return refused('not-acceptable', 'The publish options are too many');
  return { kind: 'enable', service, node: node ?? '', options };
}

/** The form that is to go along with every notification, without its type; undefined: it is too large. */
function readOptions(enable: Element): readonly PublishOption[] | undefined {
  const options: PublishOption[] = [];
  let length = 0;
  for (const form of enable.getChildren('x', NS.dataForms)) {
    const fields = form.getChildren('field');
    const typeOf = fields.find(({ attrs }) => attrs.var === 'FORM_TYPE')?.getChildText('value');
    if (typeOf !== PUBLISH_OPTIONS) continue;
    for (const field of fields) {
      const name = String(field.attrs.var ?? '');
      if (name === '' || name === 'FORM_TYPE') continue;
      const values = field.getChildren('value').map((value) => value.getText());
      length += values.reduce((sum, value) => sum + value.length + 1, name.length);
      options.push([name, ...values]);
      if (length > LONGEST_OPTIONS || options.length > MOST_OPTIONS) return undefined;
    }
  }
  return options;
}

function refused(
  condition: Extract<PushRequest, { kind: 'refused' }>['condition'],
  text: string,
): PushRequest {
  return { kind: 'refused', condition, text };
}

/** Whom an answer goes to. */
export interface Asked {
  readonly id: string | undefined;
  /** The address that was asked, as written; absent: the account. */
  readonly from: string | undefined;
  readonly to: string;
}

export function resultAnswer({ id, from, to }: Asked): string {
  const attribute = (name: string, value: string | undefined) =>
    value === undefined ? '' : ` ${name}='${escapeAttribute(value)}'`;
  return `<iq type='result'${attribute('id', id)}${attribute('from', from)}${attribute('to', to)}/>`;
}
