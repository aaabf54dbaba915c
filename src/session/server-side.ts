import type { Buffer } from 'node:buffer';
import type { UpstreamConfig } from '../config/model.js';
import { streamError } from '../stream/errors.js';
import { speaksFeatures, streamHeader } from '../stream/header.js';
import { upstreamLimits } from '../stream/server-kind.js';
import { SERVER_STREAM, type ServerInput, type ServerState } from '../stream/server-stream.js';
import { type Frame, StanzaKind } from '../xml/frame.js';
import type { StreamHeader } from '../xml/header.js';
import { NS } from '../xml/namespaces.js';
import { escapeAttribute } from '../xml/serialize.js';
import { Tokenizer, type TokenizerSink } from '../xml/tokenizer.js';
import type { Resumption } from './acknowledgement.js';
import { readBindResult } from './binding.js';
import { classifyServer } from './classify.js';
import type { DomainRuntime } from './domain.js';
import type { ServerKind } from './feature.js';
import { LegSide, OTHER_LEG_FULL } from './leg.js';
import type { ConnectFailure, LegLoss, SessionPort, TlsFacts, UpstreamFacts } from './port.js';
import { ServerNegotiation } from './server-negotiation.js';
import type { Session, SessionSettings } from './session.js';
import { readableFromServer } from './standard-form.js';

/** The stream towards the server: `SERVER_STREAM` at work. In one file: what a state does to one input is read beside what it does to the others. */
export class ServerSide extends LegSide implements TokenizerSink {
  state: ServerState = 'absent';
  /** Of the server's present stream. */
  header: StreamHeader | undefined;
  kind: ServerKind = 'unknown';
  /** Namespace of the stream management it offers. */
  sm: string | undefined;
  /** What its features ask and offer: RFC 3921 §3, XEP-0352. */
  wantsSession = false;
  takesClientState = false;
  protected readonly tokenizer: Tokenizer;
  #upstream: UpstreamFacts | undefined;
  readonly negotiation = new ServerNegotiation(this);

  constructor(
    public session: Session,
    port: SessionPort,
    settings: SessionSettings,
  ) {
    super(port, 'server', settings.now);
    this.gone = true;
    this.tokenizer = new Tokenizer(this, {
      limits: settings.config.limits.fromServer,
      origin: 'server',
      namespaces: session.namespaces,
    });
  }

  /** In place of one that has become another session's. */
  static absent(session: Session, port: SessionPort, settings: SessionSettings): ServerSide {
    const side = new ServerSide(session, port, settings);
    side.state = 'closed';
    return side;
  }

  /** The connection is another session's from now on. */
  moveTo(session: Session, port: SessionPort): void {
    this.session = session;
    this.movedTo(port);
  }

  get done(): boolean {
    return this.gone || (this.state === 'closed' && this.ended);
  }

  /** URL of the server that there is, or was last; '' before there was one. */
  get upstream(): string {
    return this.configured?.url ?? '';
  }

  /** How the server is to be spoken to; undefined before there was one. */
  get configured(): UpstreamConfig | undefined {
    return this.#upstream?.upstream;
  }

  /** What may be sent to this server. */
  get limits() {
    return upstreamLimits(this.kind, { ...this.negotiation.announced, ...this.configured?.limits });
  }

  connect(domain: DomainRuntime): void {
    if (!this.gone) this.port.destroy('server');
    this.renewed();
    this.state = 'connecting';
    this.kind = 'unknown';
    this.negotiation.restart();
    this.header = undefined;
    this.session.setDeadline('features', Number.POSITIVE_INFINITY);
    this.port.connect(domain.name);
  }

  /** The same for a server that has just said its last on this connection. */
  connectAgain(): void {
    this.connect(this.session.domain);
    this.tokenizer.restart();
    this.tokenizer.stop();
  }

  connected(facts: UpstreamFacts): void {
    this.#upstream = facts;
    this.tls = facts.tls;
    this.lastReceived = this.session.now;
    this.openStream();
  }

  connectFailed(failure: ConnectFailure): void {
    this.gone = true;
    this.state = 'closed';
    this.port.log('warn', 'upstream unreachable', { domain: this.session.domain.name, failure });
    this.session.client.fail('remote-connection-failed', 'The server behind cannot be reached.');
  }

  secured(facts: TlsFacts): void {
    this.tls = facts;
    this.openStream();
  }

  data(chunk: Buffer): void {
    if (this.state === 'closed' || this.gone) return;
    const error = this.push(chunk);
    if (error === undefined) return;
    this.port.log('warn', 'unreadable server stream', {
      domain: this.session.domain.name,
      reason: error.reason,
    });
    this.port.count('stream_error', 'server-unreadable');
    this.outbox.text(streamError(error.condition));
    this.end();
    this.state = 'closed';
    this.session.client.fail('internal-server-error', 'What the server behind sends cannot be read.');
  }

  /** Sends a header: the first, or that of a new stream behind TLS or SASL. */
  openStream(): void {
    const { client, domain } = this.session;
    this.state = 'opening';
    this.negotiation.restart();
    this.tokenizer.restart();
    this.session.expectsFeatures();
    this.outbox.text(
      streamHeader({
        to: domain.name,
        // RFC 6120 §4.7.1: who the client says it is, is nobody's business before TLS.
        from: client.tls === undefined ? undefined : client.header?.from,
        lang: client.header?.lang,
        version: client.header === undefined || speaksFeatures(client.header) ? '1.0' : undefined,
      }),
    );
  }

  /** A time is over. @returns true when it is the server that has not said what is due: then that is the end */
  saysNothing(): boolean {
    const { client } = this.session;
    const waits = client.state === 'bind-requested' || client.state === 'starting';
    if (this.gone || !(isNegotiating(this.state) || waits)) return false;
    this.#failedEarly('silent');
    this.giveUp();
    client.fail('remote-connection-failed', 'The server behind does not answer.');
    return true;
  }

  /** For the operator, who has to find out which server it is and why. */
  #failedEarly(how: string): void {
    const { domain } = this.session;
    this.port.log('warn', 'upstream failed before a session', {
      domain: domain.name,
      upstream: this.upstream,
      state: this.state,
      how,
    });
  }

  /** Asks the server to go on with a stream of before (XEP-0198 §5). */
  askToResume(id: string, handled: number): void {
    this.outbox.text(`<resume xmlns='${this.sm ?? NS.sm3}' previd='${escapeAttribute(id)}' h='${handled}'/>`);
  }

  /** Ends our stream; the server has a while to end its own. */
  close(): void {
    if (this.session.hold?.leaves() === true) return;
    const { attempt } = this.session;
    if (attempt?.awaitsServer === true && this.state === 'open') {
      this.session.startClosing();
      return;
    }
    if (attempt?.breaksOff() === true) this.cut();
    switch (this.state) {
      case 'absent':
      case 'closing':
      case 'closed':
        break;
      case 'connecting':
      case 'securing':
      case 'starttls':
        this.giveUp();
        break;
      default:
        this.session.bound?.acknowledgement.lastWordToServer();
        this.outbox.text('</stream:stream>');
        this.outbox.seal();
        this.state = 'closing';
        // Its end tag stands behind what it has sent before.
        this.readAgain(OTHER_LEG_FULL);
    }
    this.session.startClosing();
  }

  /** Gives the connection up without a word, as if the network had: the server keeps its half of the session. */
  cut(): void {
    this.destroy();
    this.state = 'closed';
  }

  override destroy(): void {
    super.destroy();
    this.session.attempt?.isWithoutServer();
  }

  giveUp(): void {
    this.cut();
    this.session.bound?.legDown('server');
  }

  /** The transport has ended. */
  lost(cause: LegLoss): void {
    if (this.gone) return;
    const { state } = this;
    if (isNegotiating(state)) this.#failedEarly(cause);
    if (cause === 'ended' && (state === 'closing' || state === 'closed')) this.end();
    else this.destroy();
    this.gone = true;
    this.state = 'closed';
    const { client, bound } = this.session;
    bound?.legDown('server');
    if ((state === 'open' || state === 'closing') && this.session.hold?.serverLost() === true) return;
    this.session.endsFor(`server-${cause}`);
    if (client.state === 'closing') client.close();
    else if (state === 'open' || this.session.authenticated)
      client.fail('system-shutdown', 'The server behind has gone.');
    else client.fail('remote-connection-failed', 'The server behind cannot be reached.');
  }

  onHeader(header: StreamHeader): void {
    const rule = SERVER_STREAM[this.state].header;
    if (rule === undefined) {
      this.#broke('header');
      return;
    }
    if (rule.next === undefined) return;
    this.state = rule.next;
    this.header = header;
    // A server that was asked in the old way answers in the old way: no features follow. An error does without `from`.
    if (header.version === undefined && header.from !== undefined) this.negotiation.isOpen();
  }

  onWhitespace(buffer: Buffer, start: number, end: number): void {
    this.session.passWhitespace('client', buffer, start, end);
  }

  onClose(): void {
    this.#input('close', undefined);
  }

  onStanza(frame: Frame): void {
    if (frame.portable && frame.flaw === 'none') {
      this.#input(classifyServer(frame), frame);
      return;
    }
    const readable = readableFromServer(frame, this.session.namespaces);
    if (readable === undefined) {
      this.port.count('stanza_dropped', 'flawed-stanza-dropped');
      this.stanzas += 1;
      this.session.bound?.droppedFromServer();
      return;
    }
    if (frame.flaw !== 'none') this.port.count('stanza_repaired', 'flawed-stanza-repaired');
    this.#input(classifyServer(readable), readable);
  }

  #input(input: ServerInput, frame: Frame | undefined): void {
    if (this.state === 'closed') return;
    const rule = SERVER_STREAM[this.state][input];
    if (rule === undefined) {
      this.#broke(input);
      return;
    }
    if (rule.next !== undefined) this.state = rule.next;
    if (frame === undefined) {
      this.#closedByServer(rule.action === 'finish');
      return;
    }
    const { client, bound } = this.session;
    switch (rule.action) {
      case 'stanza':
        this.stanzas += 1;
        if (bound === undefined) this.#stanzaBeforeBinding(frame);
        else if (
          (!client.done && client.state !== 'closed') ||
          this.session.clientIsHeld ||
          this.session.keep.active
        )
          bound.fromServer(frame);
        break;
      case 'forward-sasl':
        this.negotiation.answered();
        if (client.start !== undefined) client.start.fromServer(frame);
        // In the new profile only a start of ours has asked, and it may be over.
        else if (frame.namespace() === NS.sasl) client.outbox.range(frame.buffer, frame.start, frame.end);
        break;
      case 'forward':
        client.outbox.range(frame.buffer, frame.start, frame.end);
        break;
      case 'authenticated':
        this.#authenticated(frame);
        break;
      case 'take-features':
        this.negotiation.features(frame);
        break;
      case 'start-tls':
        if (this.stopAndLook()) this.negotiation.tlsFailed('leftover');
        else this.port.startTls('server');
        break;
      case 'fail-tls':
        this.negotiation.tlsFailed('refused');
        break;
      case 'sm-enabled':
        bound?.acknowledgement.serverHasEnabled(resumptionOf(frame));
        break;
      case 'sm-resumed':
        this.session.attempt?.serverHasResumed(frame.attribute('h'), false);
        break;
      case 'sm-failed':
        if (bound === undefined) this.session.attempt?.serverHasResumed(undefined, true);
        else bound.acknowledgement.serverHasRefused();
        break;
      case 'answer-sm-request':
        bound?.acknowledgement.serverAsks();
        break;
      case 'take-sm-answer':
        if (bound?.acknowledgement.serverAnswers(frame.attribute('h')) === false) {
          this.port.log('warn', 'impossible count from server', { domain: this.session.domain.name });
        }
        this.session.hold?.comingBack.settle();
        break;
      case 'forward-error':
        if (this.negotiation.triesAgain(frame)) break;
        if (isNegotiating(this.state)) this.#failedEarly(frame.childCount > 0 ? frame.childName(0) : 'error');
        this.session.endsFor('server-error');
        client.passError(frame);
        break;
      default:
        break;
    }
  }

  #authenticated(frame: Frame): void {
    const { client } = this.session;
    const { start } = client;
    this.session.authenticated = true;
    this.negotiation.answered();
    this.negotiation.restart();
    // Until our new header is out the server has nothing to say (RFC 6120 §6.4.6).
    const restarts = client.saslProfile === NS.sasl;
    const broken = restarts && this.stopAndLook();
    if (!restarts) {
      this.state = 'negotiating';
      this.session.expectsFeatures();
    }
    if (start !== undefined) start.fromServer(frame);
    else {
      client.outbox.range(frame.buffer, frame.start, frame.end);
      client.authenticated();
    }
    if (broken) this.#broke('header');
  }

  #stanzaBeforeBinding(frame: Frame): void {
    const { session } = this;
    const { client } = session;
    const { id } = frame;
    if (session.attempt?.takeBindResult(id, readBindResult(frame)) === true) return;
    if (client.start?.takes(frame) === true) return;
    client.outbox.range(frame.buffer, frame.start, frame.end);
    if (client.state === 'bind-requested' && frame.kind === StanzaKind.Iq && id === client.bindId) {
      const identity = readBindResult(frame);
      if (identity !== undefined) session.binding.bind(identity);
      client.resourceAnswered();
    } else if (client.state === 'authenticating' && id !== undefined && id === client.legacyAuth?.id) {
      if (!frame.attributeEquals('type', 'result')) return;
      const { local, resource } = client.legacyAuth;
      client.legacyAuth = undefined;
      session.authenticated = true;
      const domain = session.domain.name;
      const bare = `${local}@${domain}`;
      session.binding.bind({ full: `${bare}/${resource}`, bare, local, domain, resource });
    }
  }

  /** As the server ends its stream, so do we (RFC 6120 §4.4). @param answered our end tag has gone before */
  #closedByServer(answered: boolean): void {
    if (!answered) {
      this.outbox.text('</stream:stream>');
      this.session.endsFor('server-closed');
    }
    this.state = 'closed';
    this.end();
    this.session.hold?.serverClosed();
    this.session.client.close();
    this.session.startClosing();
  }

  #broke(input: string): void {
    this.port.log('warn', 'unexpected from server', { state: this.state, input });
    this.port.count('stream_error', 'server-unexpected');
    this.giveUp();
    this.session.client.fail('internal-server-error', 'The server behind does not follow the protocol.');
  }
}

/** From a connection on to features: the server is to say something, and not the client. */
function isNegotiating(state: ServerState): boolean {
  return (
    state === 'connecting' ||
    state === 'opening' ||
    state === 'negotiating' ||
    state === 'starttls' ||
    state === 'securing'
  );
}

/** Seconds, when the server does not say for how long it holds a session. */
const USUAL_HOLD = 300;

/** By what the server's `<enabled/>` lets its stream be resumed (XEP-0198 §5). */
function resumptionOf(frame: Frame): Resumption | undefined {
  const id = frame.attribute('id');
  const resume = frame.attributeEquals('resume', 'true') || frame.attributeEquals('resume', '1');
  if (id === undefined || !resume) return undefined;
  const max = Number(frame.attribute('max') ?? USUAL_HOLD);
  return { id, max: max > 0 ? max : USUAL_HOLD };
}
