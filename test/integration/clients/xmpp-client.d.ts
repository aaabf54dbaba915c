// What the tests use of @xmpp/client, which comes without types.
declare module '@xmpp/client' {
  import type { EventEmitter } from 'node:events';
  import type { Element } from 'ltx';

  export interface StreamManagement extends EventEmitter {
    enabled: boolean;
    id: string;
    inbound: number;
    outbound: number;
    outbound_q: unknown[];
  }

  export interface Client extends EventEmitter {
    status: string;
    streamManagement: StreamManagement;
    reconnect: { delay: number; stop(): void };
    iqCaller: {
      get(child: Element, to?: string, timeoutMs?: number): Promise<Element | undefined>;
      set(child: Element, to?: string, timeoutMs?: number): Promise<Element | undefined>;
    };
    start(): Promise<{ toString(): string }>;
    stop(): Promise<unknown>;
    send(element: Element): Promise<void>;
    sendMany(elements: readonly Element[]): Promise<void>;
  }

  export function client(options: {
    service: string;
    domain: string;
    username: string;
    password: string;
    resource?: string;
  }): Client;

  export function xml(
    name: string,
    attributes?: Record<string, string>,
    ...children: (Element | string)[]
  ): Element;
}
