/** What a test asks of a client library, whichever it is. */
export interface LibraryClient {
  readonly jid: string;
  /** Whether stream management is on; it may come a moment after login. */
  readonly sm: boolean;
  /** Errors the library reported. */
  readonly errors: string[];
  /** How often it has bound a resource, and how often resumed a session. */
  readonly sessions: { bound: number; resumed: number };
  /** Bodies of all messages that it has received, in order, as far as the test has not taken them. */
  readonly heard: string[];
  message(to: string, body: string, type?: 'chat' | 'groupchat'): Promise<void>;
  /** The first message received, or still to come, with this body; it is taken. */
  received(body: string): Promise<{ from: string; type: string }>;
  /** Bare JIDs in the roster. */
  roster(): Promise<string[]>;
  addContact(jid: string): Promise<void>;
  /** Resolves when the room has confirmed it. */
  join(room: string, nick: string): Promise<void>;
  ping(jid: string): Promise<void>;
  /** How many stanzas sent are not acknowledged yet, after asking for it. */
  unacknowledged(): Promise<number>;
  /** An orderly end. */
  stop(): Promise<void>;
}

export interface LibraryLogin {
  host: string;
  port: number;
  domain: string;
  name: string;
  password: string;
  resource: string;
  tls: 'none' | 'starttls' | 'direct';
  /** When the connection breaks, it connects again and resumes its session; without this, nothing of the kind. */
  resume?: boolean;
}
