import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until, within } from '../waiting.js';
import type { LibraryClient, LibraryLogin } from './library.js';

// Debian's own interpreter: that is where its python3-slixmpp is.
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, 'slixmpp_session.py');

interface Report {
  id?: number;
  value?: unknown;
  error?: string;
  event?: string;
  jid?: string;
  sender?: string;
  type?: string;
  body?: string;
  delayed?: boolean;
  text?: string;
}

export function slixmppMissing(): string | undefined {
  const works = existsSync(PYTHON) && spawnSync(PYTHON, ['-c', 'import slixmpp']).status === 0;
  return works ? undefined : 'python3-slixmpp is not installed: run scripts/install-servers.sh';
}

export interface SlixmppLogin extends LibraryLogin {
  /** Takes the library as it comes, which forgets on resuming what had not been acknowledged. */
  forgetful?: boolean;
  /** Reports the presences it receives. */
  presences?: boolean;
}

/** A presence as the library understands it: `available`, `away`, `xa`, … or `unavailable`. */
export interface SeenPresence {
  from: string;
  type: string;
  status: string;
}

/** A groupchat message as the library has shown it. */
export interface SeenGroupchat {
  from: string;
  body: string;
  delayed: boolean;
}

export interface SlixmppSession extends LibraryClient {
  readonly presences: readonly SeenPresence[];
  /** All that came, oldest first. */
  readonly groupchat: readonly SeenGroupchat[];
  /** An event of pubsub (XEP-0060) has come. */
  readonly hasEvents: boolean;
  /** @param history messages of the room's history that it wants at the most; 0: nine characters */
  join(room: string, nick: string, history?: number): Promise<void>;
  leave(room: string, nick: string): Promise<void>;
}

/** Logs in with slixmpp, in a process of its own. */
export async function startSlixmpp(login: SlixmppLogin): Promise<SlixmppSession> {
  const session = new Slixmpp(login);
  try {
    await session.begin();
  } catch (error) {
    session.kill();
    throw error;
  }
  return session;
}

class Slixmpp implements SlixmppSession {
  jid = '';
  readonly errors: string[] = [];
  readonly sessions = { bound: 0, resumed: 0 };
  readonly presences: SeenPresence[] = [];
  readonly groupchat: SeenGroupchat[] = [];
  #messages: { from: string; type: string; body: string }[] = [];
  #answers = new Map<number, (report: Report) => void>();
  #events = new Set<string>();
  #lastId = 0;
  #stderr = '';
  readonly #process: ChildProcess;

  constructor(login: SlixmppLogin) {
    this.#process = spawn(PYTHON, [SCRIPT, JSON.stringify(login)], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    // It may be gone while something is still said to it; that shows as a missing answer.
    this.#process.stdin?.on('error', () => {});
    if (this.#process.stdout) {
      createInterface({ input: this.#process.stdout }).on('line', (line) => this.#heard(JSON.parse(line)));
    }
  }

  async begin(): Promise<void> {
    await this.#do('connect');
    await until('login with slixmpp', () => {
      if (this.#events.has('failed') || this.#events.has('disconnected')) {
        throw new Error(`slixmpp could not log in: ${this.errors.join(', ')} ${this.#stderr}`);
      }
      return this.jid !== '';
    });
  }

  get sm(): boolean {
    return this.#events.has('managed');
  }

  get heard(): string[] {
    return this.#messages.map(({ body }) => body);
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  async message(to: string, body: string, type: 'chat' | 'groupchat' = 'chat'): Promise<void> {
    await this.#do('message', { to, body, type });
  }

  received(body: string): Promise<{ from: string; type: string }> {
    return until(`message "${body.slice(0, 40)}"`, () => {
      const at = this.#messages.findIndex((message) => message.body === body);
      return at < 0 ? undefined : this.#messages.splice(at, 1)[0];
    });
  }

  async roster(): Promise<string[]> {
    return (await this.#do('roster')) as string[];
  }

  async addContact(jid: string): Promise<void> {
    await this.#do('add', { jid });
  }

  async join(room: string, nick: string, history = 0): Promise<void> {
    await this.#do('join', { room, nick, history });
  }

  async leave(room: string, nick: string): Promise<void> {
    await this.#do('leave', { room, nick });
  }

  get hasEvents(): boolean {
    return this.#events.has('pubsub');
  }

  async ping(jid: string): Promise<void> {
    await this.#do('ping', { jid });
  }

  async unacknowledged(): Promise<number> {
    return (await this.#do('unacknowledged')) as number;
  }

  async stop(): Promise<void> {
    if (this.#process.killed) return;
    try {
      await this.#do('stop');
      await until('slixmpp to disconnect', () => this.#events.has('disconnected'));
    } finally {
      this.kill();
    }
  }

  #do(what: string, fields: Record<string, unknown> = {}): Promise<unknown> {
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = new Promise<Report>((resolve) => {
      this.#answers.set(id, resolve);
    });
    this.#process.stdin?.write(`${JSON.stringify({ ...fields, id, do: what })}\n`);
    return within(`slixmpp to ${what} (${this.#stderr})`, 15_000, answer).then((report) => {
      if (report.error) throw new Error(`slixmpp, ${what}: ${report.error}`);
      return report.value;
    });
  }

  #heard(report: Report): void {
    if (report.id !== undefined) {
      this.#answers.get(report.id)?.(report);
      this.#answers.delete(report.id);
    }
    if (!report.event) return;
    this.#events.add(report.event);
    if (report.event === 'session') {
      this.jid = report.jid ?? '';
      this.sessions.bound += 1;
    }
    if (report.event === 'resumed') this.sessions.resumed += 1;
    if (report.event === 'error') this.errors.push(report.text ?? '');
    if (report.event === 'presence') {
      this.presences.push({ from: report.sender ?? '', type: report.type ?? '', status: report.text ?? '' });
    }
    if (report.event === 'message') {
      const { sender: from = '', type = '', body = '', delayed = false } = report;
      this.#messages.push({ from, type, body });
      if (type === 'groupchat') this.groupchat.push({ from, body, delayed });
    }
  }
}
