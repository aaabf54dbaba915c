import { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import { bare, prepareJid } from '../../jid.js';
import { type FeatureContext, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { errorAnswer, REFUSED } from './answers.js';

/** ejabberd's name for the option, and the one that the registry of XEP-0045 would give it: understood, not shown. */
const OPTION = 'allow_subscription';
const OTHER_NAME = 'muc#roomconfig_allow_subscription';
/** What a boolean may be written as (XEP-0004 §3.3). */
const VALUES: ReadonlyMap<string, boolean> = new Map([
  ['1', true],
  ['true', true],
  ['0', false],
  ['false', false],
]);
/** Forms that a session may have under way. */
const MOST_OPEN = 32;

/** What a form says, by field. */
type Values = ReadonlyMap<string, string>;

type Open =
  | { readonly room: string; readonly kind: 'get' | 'destroy' }
  | {
      readonly room: string;
      readonly kind: 'submit';
      readonly allowed: boolean | undefined;
      readonly values: Values;
    };

/** What the option of a room is kept in. */
export interface RoomOptions {
  isAllowed(room: string): boolean;
  /** The room's owner has set it, and the room has accepted the rest of the form. */
  set(room: string, allowed: boolean): void;
  /** Its owner has changed something else, of which it tells nobody. */
  changed(room: string): void;
  /** Its owner has destroyed the room. */
  destroyed(room: string): void;
}

/**
 * The option "Allow subscription" in the configuration form of rooms (XEP-0045 §10.1-2): shown to whom the room shows the form, taken
 * out of what is submitted, and valid when the room has accepted the rest.
 */
export class Forms {
  readonly #open = new LateMap<string, Open>();
  /** By room, what its form was last known to say. */
  readonly #known = new LateMap<string, Values>();

  constructor(
    private readonly context: FeatureContext,
    private readonly options: RoomOptions,
  ) {}

  /** An iq of the client's with a child in the namespace of room owners. */
  fromClient(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { id } = frame;
    const room = prepareJid(frame.to ?? '');
    if (id === undefined || room === undefined) return PASS;
    if (frame.type === 'get') {
      this.#note(id, { room, kind: 'get' });
      return PASS;
    }
    const iq = stanza.tree();
    const query = iq.getChild('query', NS.mucOwner);
    if (query?.getChild('destroy') !== undefined) this.#note(id, { room, kind: 'destroy' });
    const form = query?.getChild('x', NS.dataForms);
    const fields = form?.getChildren('field').filter(({ attrs }) => isOption(attrs.var)) ?? [];
    if (form === undefined) return PASS;
    for (const field of fields) form.remove(field);
    if (form.attrs.type === 'submit') {
      const allowed = VALUES.get(fields.at(-1)?.getChildText('value')?.trim() ?? '');
      if (allowed === undefined && fields.length > 0) return this.#refuse(frame);
      this.#note(id, { room, kind: 'submit', allowed, values: valuesOf(form) });
    }
    if (fields.length === 0) return PASS;
    return { action: 'replace', bytes: Buffer.from(serializeElement(iq)), reason: 'mucsub-form' };
  }

  /** An answer from a room. */
  fromRoom(stanza: PassingStanza): Verdict {
    if (this.#open.size === 0) return PASS;
    const { frame } = stanza;
    const open = this.#open.get(frame.id ?? '');
    if (open === undefined || open.room !== prepareJid(bare(frame.from ?? ''))) return PASS;
    this.#open.delete(frame.id ?? '');
    if (frame.type !== 'result') return PASS;
    if (open.kind === 'submit') {
      if (open.allowed !== undefined) this.options.set(open.room, open.allowed);
      this.#isConfigured(open.room, open.values);
    }
    if (open.kind === 'destroy') this.options.destroyed(open.room);
    if (open.kind !== 'get') return PASS;
    const iq = stanza.tree();
    const form = iq.getChild('query', NS.mucOwner)?.getChild('x', NS.dataForms);
    if (form === undefined) return PASS;
    if (this.context.serverKind === 'jabberd2') this.#keep(open.room, valuesOf(form));
    addOption(form, this.options.isAllowed(open.room));
    return { action: 'replace', bytes: Buffer.from(serializeElement(iq)), reason: 'mucsub-form' };
  }

  /** COMPAT: mu-conference does not say that a room is configured otherwise (XEP-0045 §10.2.1). What a form changes is told by the one before. */
  #isConfigured(room: string, values: Values): void {
    if (this.context.serverKind !== 'jabberd2') return;
    const known = this.#known.get(room);
    this.#keep(room, new Map([...(known ?? []), ...values]));
    const isChanged = ([name, value]: [string, string]) =>
      known === undefined || (known.has(name) && known.get(name) !== value);
    if ([...values].some(isChanged)) this.options.changed(room);
  }

  #keep(room: string, values: Values): void {
    if (this.#known.size >= MOST_OPEN) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(room, values);
  }

  /** Nothing of a form holds of which something cannot be understood. */
  #refuse({ id, to = '' }: Frame): Verdict {
    const asked = { name: 'iq', id, from: to, to: this.context.identity.full } as const;
    this.context.send('client', errorAnswer(asked, REFUSED.badOption), 'mucsub-refused');
    return { action: 'handled', reason: 'mucsub-refused' };
  }

  #note(id: string, open: Open): void {
    if (this.#open.size >= MOST_OPEN) this.#open.delete(this.#open.keys().next().value!);
    this.#open.set(id, open);
  }
}

/** A boolean is the same however it is written. */
function valuesOf(form: Element): Values {
  const fields = form.getChildren('field').filter(({ attrs }) => attrs.var !== 'FORM_TYPE');
  return new Map(
    fields.map((field) => {
      const values = field.getChildren('value').map((value) => value.getText().trim());
      const written = values.join('\n');
      return [String(field.attrs.var), String(VALUES.get(written) ?? written)];
    }),
  );
}

function isOption(name: unknown): boolean {
  return name === OPTION || name === OTHER_NAME;
}

function addOption(form: Element, allowed: boolean): void {
  form
    .c('field', { type: 'boolean', var: OPTION, label: 'Allow subscription' })
    .c('value')
    .t(allowed ? '1' : '0');
}
