import type { Element } from 'ltx';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { frameToElement } from '../../xml/tree.js';
import { readStartRequest, type StartRequest } from './request.js';

/** `<resume/>`, on its own or inside `<authenticate/>` (XEP-0198 §5, §9). */
export interface ResumeRequest {
  readonly namespace: string;
  readonly id: string;
  readonly h: string | undefined;
}

/** `<enable/>` of stream management (XEP-0198 §3). */
export interface EnableRequest {
  readonly namespace: string;
  readonly resume: boolean;
  /** Seconds; 0 when the client leaves it to us. */
  readonly max: number;
}

/** `<bind/>` with what is to be done along with it (XEP-0386 §4.2). */
export interface BindRequest {
  readonly tag: string | undefined;
  readonly carbons: boolean;
  readonly enable: EnableRequest | undefined;
  readonly clientState: 'active' | 'inactive' | undefined;
  readonly start: StartRequest | undefined;
}

/** `<fast/>` (XEP-0484 §3.4). */
export interface TokenUse {
  /** NaN when it is there and no positive integer. */
  readonly count: number | undefined;
  readonly invalidate: boolean;
}

/** A whole request to start a session (XEP-0388 §2.4). What authenticates in it is never looked into, except where a token of ours does. */
export interface AuthenticateRequest {
  readonly mechanism: string;
  /** Base64. */
  readonly initialResponse: string | undefined;
  /** Of the client's installation, lower case. */
  readonly userAgent: string | undefined;
  readonly resume: ResumeRequest | undefined;
  readonly bind: BindRequest | undefined;
  readonly token: TokenUse | undefined;
  /** The mechanism for which a token is wanted. */
  readonly tokenWanted: string | undefined;
}

/** XEP-0388 §2.4 wants a UUID; of which version is the client's affair. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Reads `<authenticate/>`. */
export function readAuthenticate(frame: Frame): AuthenticateRequest {
  const element = frameToElement(frame);
  const attribute = (name: string) => element.attrs[name] as string | undefined;
  const userAgent = String(element.getChild('user-agent', NS.sasl2)?.attrs.id ?? '').toLowerCase();
  const fast = element.getChild('fast', NS.fast);
  return {
    mechanism: attribute('mechanism') ?? '',
    initialResponse: element.getChild('initial-response', NS.sasl2)?.getText().trim(),
    userAgent: UUID.test(userAgent) ? userAgent : undefined,
    resume: readResume(element.getChild('resume', NS.sm3)),
    bind: readBind(element.getChild('bind', NS.bind2)),
    token: fast === undefined ? undefined : readTokenUse(fast),
    tokenWanted: element.getChild('request-token', NS.fast)?.attrs.mechanism as string | undefined,
  };
}

function readResume(element: Element | undefined): ResumeRequest | undefined {
  if (element === undefined) return undefined;
  const { previd, h } = element.attrs as Record<string, string | undefined>;
  return { namespace: NS.sm3, id: previd ?? '', h };
}

function readBind(element: Element | undefined): BindRequest | undefined {
  if (element === undefined) return undefined;
  const state = (name: 'active' | 'inactive') =>
    element.getChild(name, NS.csi) === undefined ? undefined : name;
  const start = element.getChild('session-start', NS.sessionStart);
  const tag = element.getChild('tag', NS.bind2)?.getText();
  return {
    tag: tag === '' ? undefined : tag,
    carbons: element.getChild('enable', NS.carbons2) !== undefined,
    enable: readEnable(element.getChild('enable', NS.sm3)),
    clientState: state('inactive') ?? state('active'),
    start: start === undefined ? undefined : readStartRequest(start),
  };
}

function readEnable(element: Element | undefined): EnableRequest | undefined {
  if (element === undefined) return undefined;
  const { resume, max } = element.attrs as Record<string, string | undefined>;
  return { namespace: NS.sm3, resume: isTrue(resume), max: Number(max ?? 0) };
}

function readTokenUse(element: Element): TokenUse {
  const { count, invalidate } = element.attrs as Record<string, string | undefined>;
  const number = count !== undefined && /^[1-9]\d{0,14}$/.test(count) ? Number(count) : Number.NaN;
  return { count: count === undefined ? undefined : number, invalidate: isTrue(invalidate) };
}

/** xs:boolean */
function isTrue(value: string | undefined): boolean {
  return value === 'true' || value === '1';
}
