import { NS } from '../../xml/namespaces.js';
import { escapeText } from '../../xml/serialize.js';
import type { Moderation } from './moderation.js';
import type { Surroundings } from './surroundings.js';

const FORM = 'http://jabber.org/protocol/muc#register';

/**
 * Registers the nick of a subscription with its room (XEP-0045 §7.10), where rooms have that. Only for who is something in the room already: of anybody
 * else registering makes a member, and a subscription gives no affiliation. COMPAT: it is not taken back, since Prosody takes the membership with it.
 */
export class NickRegistration {
  constructor(
    private readonly around: Surroundings,
    private readonly moderation: Moderation,
  ) {}

  /** The account has subscribed under this nick. @param affiliation as far as the room has told it; a refusal changes nothing */
  register(room: string, nick: string, affiliation: string): void {
    if (affiliation === 'none') return;
    this.moderation.roomInfo(room, (info) => {
      if (info?.registersNicks !== true) return;
      const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
      const fields = field('FORM_TYPE', FORM) + field('muc#register_roomnick', escapeText(nick));
      const payload = `<query xmlns='${NS.register}'><x xmlns='${NS.dataForms}' type='submit'>${fields}</x></query>`;
      this.around.context.request({ leg: 'server', type: 'set', to: room, payload }, () => {});
    });
  }
}
