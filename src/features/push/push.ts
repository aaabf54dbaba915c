import { Buffer } from 'node:buffer';
import { prepareJid } from '../../jid.js';
import {
  type DiscoAmendment,
  type DiscoAnswer,
  type Feature,
  type FeatureContext,
  type FeatureSession,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../session/feature.js';
import { type StanzaErrorCondition, stanzaError } from '../../stream/errors.js';
import { NS } from '../../xml/namespaces.js';
import {
  capabilitiesProbe,
  capabilitiesProbeKey,
  type ProbeSession,
} from '../capabilities-probe/capabilities-probe.js';
import { Publishing } from './publishing.js';
import { type Registrations, registrationsOf } from './registrations.js';
import { type Asked, type PushRequest, readRequest, resultAnswer } from './requests.js';
import { SETTINGS, type Settings } from './settings.js';
import { sharedOf } from './shared.js';

enum On {
  Request,
  Affiliation,
}

const WATCHES: readonly Watch[] = [
  {
    direction: 'to-server',
    stanza: 'iq',
    types: ['set'],
    child: { namespace: NS.push },
    address: ['account'],
  },
  { direction: 'to-client', stanza: 'message', child: { namespace: NS.pubsub, name: 'pubsub' } },
];

const ANSWERED: Verdict = { action: 'handled', reason: 'push-answered' };

/** Push notifications (XEP-0357) in place of a server that lacks them, for one session. */
class PushSession implements FeatureSession {
  readonly #settings: Settings;
  readonly #account: string;
  readonly #probe: ProbeSession;
  readonly #registrations: Registrations;
  /** While the client is not there. */
  #publishing: Publishing | undefined;

  constructor(private readonly context: FeatureContext) {
    this.#settings = context.settings<Settings>(SETTINGS);
    this.#account = prepareJid(context.identity.bare) ?? context.identity.bare;
    this.#probe = context.know(capabilitiesProbeKey);
    this.#registrations = registrationsOf(context.domain);
    sharedOf(context.domain).arrives(this.#account);
  }

  onStanza(stanza: PassingStanza, watch: number): Verdict {
    return watch === On.Request ? this.#request(stanza) : this.#affiliation(stanza);
  }

  onDisco({ node, entity, from }: DiscoAnswer): DiscoAmendment | undefined {
    const asked =
      entity === 'account' || (entity === 'server' && prepareJid(from) === this.context.domain.name);
    // As long as nothing is known: whichever of them has it itself says so in its own answer, and is not overruled.
    return node === undefined && asked && this.#lacking !== false ? ADDED : undefined;
  }

  onLegDown(leg: 'client' | 'server'): void {
    if (leg === 'client') this.#absent();
  }

  onLegUp(leg: 'client' | 'server'): void {
    if (leg === 'client') this.onClose();
  }

  needsServer(): undefined {
    this.#absent().isGone = true;
  }

  onWaiting(account: string, message: Buffer): void {
    if (account === this.#account) this.#publishing?.waits(message);
  }

  onWakeup(): void {
    this.#publishing?.wake();
  }

  onClose(): void {
    this.#publishing?.end();
    this.#publishing = undefined;
  }

  #absent(): Publishing {
    this.#publishing ??= new Publishing(this.context, this.#account, this.#settings);
    return this.#publishing;
  }

  /** Whether the server has no push notifications of its own; undefined: that is being found out. */
  get #lacking(): boolean | undefined {
    const server = this.#probe.server();
    const account = this.#probe.account();
    if (server === undefined || account === undefined) return undefined;
    return !server.has(NS.push) && !account.has(NS.push);
  }

  #request(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const lacking = this.#lacking;
    if (lacking === false) return PASS;
    const asked: Asked = { id: frame.id, from: frame.to, to: this.context.identity.full };
    const request = readRequest(stanza.tree());
    if (lacking === true) this.#handle(asked, request);
    else {
      const bytes = Buffer.from(frame.bytes());
      this.#probe.whenKnown(() => {
        if (this.#lacking === true) this.#handle(asked, request);
        else this.context.send('server', bytes, 'push-answered');
      });
    }
    return ANSWERED;
  }

  #handle(asked: Asked, request: PushRequest): void {
    const { context } = this;
    const answer = (ok: boolean) => {
      if (ok) context.send('client', resultAnswer(asked), 'push-answered');
      else this.#refuse(asked, 'wait', 'internal-server-error', 'This could not be stored');
    };
    switch (request.kind) {
      case 'enable': {
        const { service, node, options } = request;
        const { resource } = context.identity;
        const registration = { service, node, options, resource, since: context.wallClock() };
        this.#registrations.add(context, this.#account, registration, this.#settings.perAccount, answer);
        break;
      }
      case 'disable': {
        const { service, node } = request;
        const isIt = (each: { service: string; node: string }) =>
          each.service === service && (node === undefined || each.node === node);
        this.#registrations.remove(context, this.#account, isIt, answer);
        break;
      }
      default:
        this.#refuse(asked, 'modify', request.condition, request.text);
    }
  }

  #refuse(asked: Asked, type: 'modify' | 'wait', condition: StanzaErrorCondition, text: string): void {
    const error = stanzaError({ name: 'iq', ...asked }, type, condition, text);
    this.context.send('client', error, 'push-refused');
  }

  /** A push service takes nothing more for one of its nodes (XEP-0357 §8). The client is shown it too. */
  #affiliation(stanza: PassingStanza): Verdict {
    const service = prepareJid(stanza.frame.from ?? '');
    const pubsub = stanza.tree().getChild('pubsub', NS.pubsub);
    const node = String(pubsub?.attrs.node ?? '');
    const isEnd = pubsub
      ?.getChildren('affiliation')
      .some(({ attrs }) => attrs.affiliation === 'none' && prepareJid(String(attrs.jid)) === this.#account);
    if (isEnd !== true || service === undefined) return PASS;
    const isIt = (each: { service: string; node: string }) => each.service === service && each.node === node;
    this.#registrations.remove(this.context, this.#account, isIt, (_, count) => {
      if (count > 0) this.context.count('push-disabled');
    });
    return PASS;
  }
}

const ADDED: DiscoAmendment = { add: [NS.push] };

export const push: Feature<PushSession> = {
  name: 'push',
  watches: WATCHES,
  needs: [capabilitiesProbe],
  amendsDisco: true,
  settings: SETTINGS,
  open: (context) => new PushSession(context),
};
