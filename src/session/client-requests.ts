import { Buffer } from 'node:buffer';
import type { ClientAction, ClientInput } from '../stream/client-stream.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { frameToElement } from '../xml/tree.js';
import { readLegacyAuth } from './binding.js';
import { claimedName } from './claimed-name.js';
import type { ClientSide } from './client-side.js';
import { WAITING_FOR_SERVER } from './leg.js';
import { failure, type SaslCondition } from './start/exchange.js';
import { SessionStart } from './start/session-start.js';

/** What is done about each thing that a client asks for: the actions of `CLIENT_STREAM`. */
export class ClientRequests {
  constructor(private readonly side: ClientSide) {}

  act(action: ClientAction, input: ClientInput, frame: Frame): void {
    const { side } = this;
    const { session } = side;
    const { bound } = session;
    switch (action) {
      case 'stanza':
        side.stanzas += 1;
        if (session.binding.serverUndecided && !asksForSession(frame)) session.binding.enableServer(false);
        bound?.fromClient(frame);
        break;
      case 'forward-sasl':
        if (this.#allowsMechanism(frame)) {
          if (frame.localName() === 'auth')
            side.claimedName = claimedName(frame.attribute('mechanism'), frameToElement(frame).getText());
          this.#forward(frame, frame.localName() === 'auth');
        } else side.outbox.text(`<failure xmlns='${NS.sasl}'><invalid-mechanism/></failure>`);
        break;
      case 'start-session':
        this.#startSession(frame);
        break;
      case 'continue-exchange':
        side.start?.fromClient(frame);
        break;
      case 'forward-bind':
        if (!session.binding.bindsAgain(frame)) this.#bind(frame);
        break;
      case 'forward-legacy-auth':
        side.legacyAuth = readLegacyAuth(frame);
        this.#forward(frame);
        break;
      case 'forward':
        this.#forward(frame);
        break;
      case 'forward-error':
        this.#forward(frame);
        session.endsFor('client-error');
        session.server.close();
        break;
      case 'start-tls':
        side.startTls();
        break;
      case 'enable-sm':
        if (!session.binding.enableClient(frame)) this.#refuseSm(frame);
        break;
      case 'resume':
        side.stopHere();
        session.resuming.resume(frame);
        if (side.state === 'resuming') side.stopReading(WAITING_FOR_SERVER);
        break;
      case 'refuse-sm-early':
      case 'refuse-resume':
        this.#refuseSm(frame);
        break;
      case 'answer-sm-request':
        bound?.acknowledgement.clientAsks();
        break;
      case 'take-sm-answer':
        this.#acknowledges(frame);
        break;
      case 'refuse-bind':
        side.stanzas += 1;
        bound?.refuse(
          frame,
          'cancel',
          'service-unavailable',
          input === 'unbind' ? 'unbind-refused' : 'second-bind-refused',
        );
        break;
      case 'refuse-compression':
        side.outbox.text(`<failure xmlns='${NS.compress}'><unsupported-method/></failure>`);
        break;
      case 'refuse-sasl-in-clear':
        side.outbox.text(`<failure xmlns='${NS.sasl}'><encryption-required/></failure>`);
        break;
      case 'refuse-sasl2-in-clear':
        side.outbox.text(failure('encryption-required'));
        break;
      default:
        break;
    }
  }

  #startSession(frame: Frame): void {
    let refused: SaslCondition | undefined;
    if (this.side.negotiation.startOffer === undefined)
      refused = this.side.tls === undefined ? 'encryption-required' : 'invalid-mechanism';
    if (refused !== undefined) {
      this.side.startFailed(failure(refused));
      return;
    }
    this.side.start = new SessionStart(this.side.session, this.side.session.port);
    if (!this.side.start.begin(frame)) return;
    // What authenticates by a token of ours waits for nobody but us.
    this.side.stopHere();
    this.side.state = 'starting';
    this.side.stopReading(WAITING_FOR_SERVER);
  }

  #forward(frame: Frame, opensSasl = false): void {
    this.side.session.server.negotiation.say(Buffer.from(frame.bytes()), opensSasl);
  }

  /** Asks the server for a resource; before that a session is ended that has it and waits for this client. */
  #bind(frame: Frame): void {
    const { session } = this.side;
    const wanted = frameToElement(frame).getChild('bind', NS.bind)?.getChildText('resource')?.trim();
    const request = Buffer.from(frame.bytes());
    const { id } = frame;
    let waited = false;
    let free = false;
    const go = (): void => {
      free = true;
      if (waited && this.side.state !== 'resuming') return;
      session.server.outbox.bytes(request);
      this.side.awaitsResource(id);
      this.side.readAgain(WAITING_FOR_SERVER);
    };
    // A session whose server leg is lost and for whose client nothing waits ends at once.
    if (session.binding.whenFree(wanted, go) || free) return;
    waited = true;
    this.side.state = 'resuming';
    this.side.stopHere();
    this.side.stopReading(WAITING_FOR_SERVER);
  }

  /** What was taken out of the list is not negotiated behind it (RFC 6120 §6.5.7). */
  #allowsMechanism(frame: Frame): boolean {
    if (frame.localName() !== 'auth' || this.side.mechanisms.length === 0) return true;
    const mechanism = frame.attribute('mechanism');
    return mechanism !== undefined && this.side.mechanisms.includes(mechanism);
  }

  #refuseSm(frame: Frame): void {
    // Nothing is held here that could be resumed: to say that it is unknown is the truth (XEP-0198 §5).
    const resume = frame.localName() === 'resume' && this.side.session.authenticated;
    const condition = resume ? 'item-not-found' : 'unexpected-request';
    this.side.outbox.text(
      `<failed xmlns='${frame.namespace()}'><${condition} xmlns='${NS.stanzaErrors}'/></failed>`,
    );
  }

  #acknowledges(frame: Frame): void {
    const wrong = this.side.session.bound?.acknowledgement.clientAnswers(frame.attribute('h'));
    if (wrong !== undefined) this.side.countIsWrong(wrong, frame.namespace());
    else this.side.session.hold?.acknowledged();
  }
}

/** A request to start a session (RFC 3921 §3): clients send it between binding and anything that matters. */
function asksForSession(frame: Frame): boolean {
  return frame.kind === StanzaKind.Iq && frame.findChild('session', NS.session) >= 0;
}
