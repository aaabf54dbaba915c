import { NS } from '../../xml/namespaces.js';
import { escapeAttribute, escapeText } from '../../xml/serialize.js';
import type { PublishOption, Registration } from './registrations.js';

/** What a notification says. */
export interface Summary {
  /** Messages that have come since the client was last there. */
  readonly count: number;
  readonly sender: string | undefined;
  readonly body: string | undefined;
}

/** Characters of a body that go along. */
const LONGEST_BODY = 1_024;

/** The item to be published, with the form that the client has left for it (XEP-0357 §7). */
export function notification({ node, options }: Registration, { count, sender, body }: Summary): string {
  const summary: PublishOption[] = [['message-count', String(count)]];
  if (sender !== undefined) summary.push(['last-message-sender', sender]);
  if (body !== undefined) summary.push(['last-message-body', cut(body)]);
  const item = `<item><notification xmlns='${NS.push}'>${form('form', 'urn:xmpp:push:summary', summary)}</notification></item>`;
  const at = node === '' ? '' : ` node='${escapeAttribute(node)}'`;
  const along =
    options.length === 0
      ? ''
      : `<publish-options>${form('submit', `${NS.pubsub}#publish-options`, options)}</publish-options>`;
  return `<pubsub xmlns='${NS.pubsub}'><publish${at}>${item}</publish>${along}</pubsub>`;
}

function form(type: 'form' | 'submit', formType: string, fields: readonly PublishOption[]): string {
  const all = fields.map(
    ([name = '', ...values]) =>
      `<field var='${escapeAttribute(name)}'>${values.map((value) => `<value>${escapeText(value)}</value>`).join('')}</field>`,
  );
  const hidden = `<field var='FORM_TYPE' type='hidden'><value>${formType}</value></field>`;
  return `<x xmlns='${NS.dataForms}' type='${type}'>${hidden}${all.join('')}</x>`;
}

/** Between characters, not inside of one. */
function cut(body: string): string {
  return body.length <= LONGEST_BODY ? body : [...body.slice(0, LONGEST_BODY + 1)].slice(0, -1).join('');
}
