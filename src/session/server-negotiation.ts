import type { Buffer } from 'node:buffer';
import type { Element } from 'ltx';
import type { UpstreamLimits } from '../config/model.js';
import { announcedLimits, recogniseServer } from '../stream/server-kind.js';
import type { Frame } from '../xml/frame.js';
import { NS } from '../xml/namespaces.js';
import { frameToElement } from '../xml/tree.js';
import type { ServerSide } from './server-side.js';

/** How often a server that breaks before its features is connected again. */
const ATTEMPTS = 3;

/** What the server offers on the streams that are opened to it, one behind the other, and what is said to it before there is a session. */
export class ServerNegotiation {
  /** The features of the present stream: the client may have to be shown them more than once, before TLS and behind it. */
  #features: Frame | undefined;
  /** What the server says it takes (XEP-0478). */
  announced: Partial<UpstreamLimits> = {};
  #attempts = 0;
  /** The client has said something since it saw the features. */
  #spokenTo = false;
  /** What opens SASL, until it is answered. */
  #opening: Buffer | undefined;

  constructor(private readonly side: ServerSide) {}

  /** A new stream is due. */
  restart(): void {
    this.#features = undefined;
  }

  /** A tree of the features, the caller's to change; undefined when the server has sent none. */
  takeFeatures(): Element | undefined {
    const features = this.#features;
    // Behind authentication they are shown once.
    if (this.side.session.authenticated) this.#features = undefined;
    return features === undefined ? undefined : frameToElement(features);
  }

  features(frame: Frame): void {
    const { side } = this;
    const features = frameToElement(frame);
    this.announced = announcedLimits(features) ?? this.announced;
    side.takesClientState = features.getChild('csi', NS.csi) !== undefined;
    const session = features.getChild('session', NS.session);
    side.wantsSession = session !== undefined && session.getChild('optional') === undefined;
    side.kind = recogniseServer(side.kind, side.header, features);
    const starttls = features.getChild('starttls', NS.tls);
    if (side.tls === undefined && side.configured?.tls === 'starttls') {
      // Never without, once it is asked for: taking the offer away is how it is attacked (CVE-2016-10027).
      if (starttls === undefined) {
        this.tlsFailed('not-offered');
        return;
      }
      side.state = 'starttls';
      side.outbox.text(`<starttls xmlns='${NS.tls}'/>`);
      return;
    }
    if (side.tls === undefined && starttls?.getChild('required') !== undefined) {
      this.tlsFailed('required-by-server');
      return;
    }
    this.#features = frame.detach();
    this.isOpen();
  }

  tlsFailed(reason: 'refused' | 'not-offered' | 'leftover' | 'required-by-server'): void {
    const { session, upstream: url } = this.side;
    session.port.log('warn', 'no TLS to upstream', { domain: session.domain.name, url, reason });
    this.side.giveUp();
    session.client.fail('remote-connection-failed', 'The server behind cannot be reached securely.');
  }

  /** The server has said what it offers, or answers in the old way without. */
  isOpen(): void {
    this.side.state = 'open';
    this.side.session.setDeadline('features', Number.POSITIVE_INFINITY);
    if (this.#opening !== undefined) this.side.outbox.bytes(this.#opening);
    this.side.session.client.negotiation.answer();
  }

  /** Passes on what the client says before there is a session. @param opensSasl it depends on nothing that was said before */
  say(request: Buffer, opensSasl: boolean): void {
    this.#opening = opensSasl && !this.#spokenTo ? request : undefined;
    this.#spokenTo = true;
    if (this.side.state === 'open') this.side.outbox.bytes(request);
    // Connected again meanwhile: what cannot wait for that ends as it would have ended without.
    else if (this.#opening === undefined) this.side.session.client.fail('internal-server-error');
  }

  /** The server has answered what opens SASL. */
  answered(): void {
    this.#opening = undefined;
  }

  /**
   * COMPAT: jabberd2 answers a fresh stream now and then with what an earlier connection on the same file descriptor has left behind. As long
   * as the client need not notice, it is connected again: the same features stand there again, and what opens SASL is said again.
   * @param error of the server's stream
   */
  triesAgain(error: Frame): boolean {
    const { session, state } = this.side;
    const { client } = session;
    const early = state === 'opening' || state === 'negotiating';
    // Behind its handshake the client is shown features anew.
    const unseen = early || (state === 'open' && client.state === 'securing');
    const canBeAskedAgain =
      client.state === 'authenticating' && (!this.#spokenTo || this.#opening !== undefined);
    if (session.authenticated || !(unseen || canBeAskedAgain)) return false;
    if (error.findChild('internal-server-error', NS.streamErrors) < 0 || this.#attempts >= ATTEMPTS)
      return false;
    this.#attempts += 1;
    session.port.log('debug', 'upstream connected again', {
      domain: session.domain.name,
      attempt: this.#attempts,
    });
    this.side.connectAgain();
    return true;
  }
}
