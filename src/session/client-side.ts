import type { Buffer } from 'node:buffer';
import { CLIENT_STREAM, type ClientInput, type ClientState, violation } from '../stream/client-stream.js';
import { type StreamErrorCondition, streamError } from '../stream/errors.js';
import type { XmlError } from '../xml/errors.js';
import type { Frame } from '../xml/frame.js';
import type { StreamHeader } from '../xml/header.js';
import { NS } from '../xml/namespaces.js';
import { Tokenizer, type TokenizerSink } from '../xml/tokenizer.js';
import type { LegacyAuth } from './binding.js';
import { classifyClient } from './classify.js';
import { ClientNegotiation } from './client-negotiation.js';
import { ClientRequests } from './client-requests.js';
import { LegSide, WAITING_FOR_SERVER } from './leg.js';
import type { LegLoss, SessionPort, TlsFacts } from './port.js';
import type { Session, SessionSettings } from './session.js';
import { standardForm } from './standard-form.js';
import type { SaslProfile } from './start/exchange.js';
import type { SessionStart } from './start/session-start.js';

/** The stream towards the client: `CLIENT_STREAM` at work. */
export class ClientSide extends LegSide implements TokenizerSink {
  state: ClientState = 'opening';
  /** Of the client's present stream. */
  header: StreamHeader | undefined;
  bindId: string | undefined;
  /** Who the client said it was when it began to authenticate. */
  claimedName: string | undefined;
  legacyAuth: LegacyAuth | undefined;
  protected readonly tokenizer: Tokenizer;
  /** The mechanisms it has been shown. */
  mechanisms: readonly string[] = [];
  /** In which the server takes them. */
  saslProfile: SaslProfile = NS.sasl;
  /** From `<authenticate/>` to `<success/>` or `<failure/>`. */
  start: SessionStart | undefined;
  /** What it sent behind its header before the server had answered. */
  #unread: Buffer[] = [];
  /** The error of the server's has been passed on: there is nothing to add to it. */
  #errorSent = false;
  readonly negotiation: ClientNegotiation;
  readonly #requests: ClientRequests;
  /** An error that could not be said because the leg was in a handshake. */
  #failure: { readonly condition: StreamErrorCondition; readonly text: string | undefined } | undefined;

  constructor(
    public session: Session,
    port: SessionPort,
    private readonly settings: SessionSettings,
  ) {
    super(port, 'client', settings.now);
    this.tls = settings.directTls;
    this.negotiation = new ClientNegotiation(this, settings);
    this.#requests = new ClientRequests(this);
    this.tokenizer = new Tokenizer(this, {
      limits: settings.config.limits.beforeAuth,
      origin: 'client',
      namespaces: session.namespaces,
    });
  }

  /** In place of one that has become another session's. */
  static absent(session: Session, port: SessionPort, settings: SessionSettings): ClientSide {
    const side = new ClientSide(session, port, settings);
    side.gone = true;
    side.state = 'closed';
    return side;
  }

  get done(): boolean {
    return (this.gone && this.state !== 'held') || (this.state === 'closed' && this.ended);
  }

  data(chunk: Buffer): void {
    if (this.#waits) {
      this.#unread.push(chunk);
      this.stopReading(WAITING_FOR_SERVER);
    } else if (this.state !== 'closed' && this.state !== 'closing' && !this.gone) this.#read(chunk);
  }

  /** TLS is up: a new stream is due. */
  secured(facts: TlsFacts): void {
    this.tls = facts;
    this.state = 'opening';
    this.tokenizer.restart();
    this.negotiation.restart();
    if (this.#failure !== undefined) this.fail(this.#failure.condition, this.#failure.text);
  }

  /** SASL has succeeded: a new stream is due, under the limits for those we know. */
  authenticated(): void {
    this.state = 'opening';
    this.tokenizer.restart();
    this.tokenizer.limits = this.settings.config.limits.afterAuth;
    this.negotiation.restart();
  }

  /** The same for a client that goes on in its stream: what it asked for comes first (XEP-0388 §2.7.1). */
  authenticatedWithin(): void {
    this.state = 'starting';
    this.tokenizer.limits = this.settings.config.limits.afterAuth;
    this.stopReading(WAITING_FOR_SERVER);
  }

  /** Ends a start that has come to nothing: the client may try again (XEP-0388 §2.7.2). */
  startFailed(failed: string): void {
    this.start = undefined;
    this.outbox.text(failed);
    const waited = this.state === 'starting';
    this.state = 'authenticating';
    if (waited) this.goOn();
  }

  /** A resource has been asked for. What comes behind that is read when the answer is there: it goes through the session, or is refused. */
  awaitsResource(id: string | undefined): void {
    this.bindId = id;
    this.state = 'bind-requested';
    this.stopHere();
  }

  /** The answer has been passed on. */
  resourceAnswered(): void {
    if (this.state === 'bind-requested') this.state = 'binding';
    this.goOn();
  }

  /** Ends a start: the client is authenticated and binds as ever. */
  startedUnbound(): void {
    this.start = undefined;
    this.state = 'binding';
    this.goOn();
  }

  /** Says `<resumed/>`: inside of `<success/>` where it was asked for there (XEP-0198 §9.2). */
  saysResumed<T>(full: string, say: () => T): T {
    const { start } = this;
    if (start === undefined) return say();
    this.start = undefined;
    return start.within(this.outbox, full, say);
  }

  bound(deepest: number): void {
    this.state = 'bound';
    const { afterAuth } = this.settings.config.limits;
    this.tokenizer.limits = { ...afterAuth, depth: Math.min(afterAuth.depth, deepest) };
  }

  // Holding and resuming.

  /** The connection, with all that has been negotiated on it, is another session's from now on. */
  moveTo(session: Session, port: SessionPort, deepest: number): void {
    this.session = session;
    this.movedTo(port);
    this.bound(deepest);
  }

  /** The largest that it may send. */
  get stanzaBytes(): number {
    return this.tokenizer.limits.stanzaBytes;
  }

  /** Reads nothing behind what is being read now, until it goes on. */
  stopHere(): void {
    this.tokenizer.stop();
  }

  /** Reads on, what has waited first. */
  goOn(): void {
    this.tokenizer.proceed();
    const unread = this.#unread;
    this.#unread = [];
    for (const chunk of unread) this.data(chunk);
    this.readAgain(WAITING_FOR_SERVER);
  }

  /** @param handled of the former session, where it is known */
  refuseToResume(namespace: string, handled: number | undefined): void {
    if (!this.waitsToResume) return;
    const h = handled === undefined ? '' : ` h='${handled}'`;
    const failed = `<failed xmlns='${namespace}'${h}><item-not-found xmlns='${NS.stanzaErrors}'/></failed>`;
    if (this.start !== undefined) {
      this.start.notResumed(failed);
      return;
    }
    this.outbox.text(failed);
    this.state = 'binding';
    this.goOn();
  }

  /** Gives the connection up without a word, as if the network had: the client is to come back. */
  cut(): void {
    this.destroy();
    this.state = 'held';
  }

  /** The client has come back on another connection. */
  replaced(): void {
    this.outbox.text(streamError('conflict', 'The session has been resumed elsewhere.'));
    this.end();
    this.gone = true;
    this.state = 'held';
  }

  /** The client is not waited for any more. */
  give(): void {
    if (this.state === 'held') this.state = 'closed';
  }

  /** It has asked to resume a session, in one way or the other, and is still there. */
  get waitsToResume(): boolean {
    return this.state === 'resuming' || this.state === 'starting';
  }

  get #waits(): boolean {
    return this.state === 'waiting' || this.state === 'bind-requested' || this.waitsToResume;
  }

  /** Passes a stream error of the server's on; the end of the stream follows. */
  passError(frame: Frame): void {
    if (this.done || this.state === 'closed') return;
    if (this.state === 'securing') {
      this.fail('remote-connection-failed');
      return;
    }
    this.#errorSent = true;
    this.negotiation.ensureHeader();
    this.outbox.range(frame.buffer, frame.start, frame.end);
  }

  /** Ends the client's stream with an error, and the server's in order. */
  fail(condition: StreamErrorCondition, text?: string, detail?: string): void {
    this.session.endsFor(condition);
    if (this.state === 'closed' || this.gone) return;
    if (this.state === 'securing') {
      this.#failure ??= { condition, text };
      this.session.server.close();
      return;
    }
    if (this.#errorSent) this.close();
    else this.close(streamError(condition, text, detail), condition);
    this.session.server.close();
  }

  /**
   * Ends our stream, and with it the leg.
   * @param end what ends it; the end tag alone when there is nothing to explain
   * @param own the condition of an error in it
   */
  close(end = '</stream:stream>', own?: StreamErrorCondition): void {
    if (this.state === 'closed' || this.gone) return;
    if (this.state === 'securing') {
      // Nothing can be said in the middle of a handshake.
      this.#failure ??= { condition: 'remote-connection-failed', text: undefined };
      return;
    }
    this.negotiation.ensureHeader();
    this.outbox.text(end);
    this.state = 'closed';
    this.start?.abandon();
    this.tokenizer.stop();
    this.#unread = [];
    this.end(own);
  }

  /** The transport has ended. */
  lost(cause: LegLoss): void {
    if (this.gone) return;
    // Towards a client that has ended its stream and its direction, the server's last stanzas still go out.
    if (cause === 'ended' && this.state === 'closing') return;
    const { hold } = this.session;
    if (this.state === 'bound' && hold !== undefined) {
      this.cut();
      if (hold.begin()) return;
    }
    this.start?.abandon();
    const kept = this.session.keep.begin();
    this.session.endsFor(`client-${cause}`);
    if (cause === 'ended' && this.state === 'closed') this.end();
    else this.destroy();
    this.gone = true;
    this.state = 'closed';
    if (kept) return;
    this.session.bound?.legDown('client');
    this.session.server.close();
  }

  #read(chunk: Buffer): void {
    const error = this.push(chunk);
    if (error !== undefined) {
      this.#xmlError(error);
      return;
    }
    // Bytes behind a header wait for the server's answer to it.
    const { leftover } = this.tokenizer;
    if (leftover > 0 && this.#waits) this.#unread.push(chunk.subarray(chunk.length - leftover));
  }

  #xmlError(error: XmlError): void {
    this.port.count('stream_error', error.reason);
    this.fail(error.condition);
  }

  onHeader(header: StreamHeader): void {
    this.negotiation.onHeader(header);
  }

  onWhitespace(buffer: Buffer, start: number, end: number): void {
    this.session.passWhitespace('server', buffer, start, end);
  }

  onClose(): void {
    this.#input('close', undefined);
  }

  onStanza(frame: Frame): void {
    let standard: Frame | undefined = frame;
    if (!frame.portable) {
      standard = standardForm(frame, this.session.namespaces);
      if (standard === undefined) {
        this.port.count('stanza_dropped', 'not-portable-dropped');
        this.fail('bad-format');
        return;
      }
    }
    this.#input(classifyClient(standard, this.state === 'bound'), standard);
  }

  #input(input: ClientInput, frame: Frame | undefined): void {
    if (this.state === 'closed' || this.state === 'closing') return;
    // Nobody takes it any more: what is not acknowledged, the client sends again.
    if (this.session.hold?.collecting === true && input !== 'sm-answer' && input !== 'close') return;
    const rule = CLIENT_STREAM[this.state][input];
    if (rule === undefined) {
      this.port.count('stream_error', `unexpected-${input}`);
      this.fail(violation(this.state, input));
      return;
    }
    if (rule.next !== undefined) this.state = rule.next;
    if (frame === undefined || rule.action === 'close-both') {
      this.#closedByClient(rule.action === 'close');
      return;
    }
    this.#requests.act(rule.action, input, frame);
  }

  /** `</stream:stream>`, or an error, from the client. @param waits the server's last stanzas are still for it */
  #closedByClient(waits: boolean): void {
    if (waits && this.session.keep.begin()) {
      this.state = 'binding';
      this.close();
      return;
    }
    this.session.endsFor('client-closed');
    if (!waits || this.session.server.state === 'closed') {
      this.state = 'binding';
      this.close();
    }
    this.session.server.close();
  }

  /** What the client says to have handled cannot be true (XEP-0198 §4). */
  countIsWrong(wrong: { readonly h: string; readonly sent: number } | 'malformed', namespace: string): void {
    if (wrong === 'malformed') {
      this.fail('bad-format', "The count of stanzas in 'h' cannot be read.");
      return;
    }
    const counts = `h='${wrong.h}' send-count='${wrong.sent}'`;
    this.fail('undefined-condition', undefined, `<handled-count-too-high xmlns='${namespace}' ${counts}/>`);
  }

  startTls(): void {
    const { tls } = this.settings.listener;
    // RFC 6120 §5.4.2.2: what was not offered fails, and takes the stream with it.
    if (this.tls !== undefined || tls === 'off' || tls === 'direct') {
      this.state = 'authenticating';
      this.close(`<failure xmlns='${NS.tls}'/></stream:stream>`);
      this.session.endsFor('starttls-not-offered');
      this.session.server.close();
      return;
    }
    if (this.stopAndLook()) {
      // RFC 6120 §5.4.3.3; what the STARTTLS injections of 2021 were: plaintext read as if it had come over TLS.
      this.port.count('stream_error', 'starttls-leftover');
      this.state = 'insecure';
      this.fail('policy-violation', 'Nothing may be sent behind <starttls/> before TLS.');
      return;
    }
    this.outbox.text(`<proceed xmlns='${NS.tls}'/>`);
    this.write();
    this.port.startTls('client');
  }
}
