import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram, requireProgram, type ServerKind } from '../servers/server.js';
import type { Command, Part } from './conversation.js';

const HERE = join(import.meta.dirname, 'matrix');
// Debian's own interpreters: that is where its packages of libraries are.
const PYTHON = '/usr/bin/python3';
const PERL = '/usr/bin/perl';
const RUBY = '/usr/bin/ruby';

export interface MatrixClient {
  name: string;
  tls: readonly Part['tls'][];
  /** Whether it says when stream management is on. */
  tellsManagement?: true;
  /** It says one thing and ends, instead of holding a whole conversation. */
  speaksTo?: readonly ('a person' | 'a room')[];
  /** It may fail to secure its connection, whatever is at the other end: then it is started again. */
  racesWithItself?: true;
  /** Servers that refuse it when nothing is in between, and what it says then. */
  refusedBy?: Partial<Record<ServerKind, RegExp>>;
  /** Why it cannot be run here, if so. */
  missing(): string | undefined;
  /** Called once before the first conversation, with a folder for what is compiled. */
  prepare?(folder: string): void;
  command(part: Part, folder: string, toRoom?: boolean): Command;
}

const BOTH = ['starttls', 'direct'] as const;

// COMPAT: jabberd2 offers EXTERNAL over TLS to everybody, and Perl's Authen::SASL takes it
// before all others. Through the proxy, which cannot carry it, it is not offered.
const WANTS_EXTERNAL = { jabberd2: /not-authorized/ };

/** The libraries with a program of ours around them, and command lines that are used as they are. */
export const MATRIX: readonly MatrixClient[] = [
  { ...script('aioxmpp', PYTHON, 'with_aioxmpp.py', ['-c', 'import aioxmpp']), tellsManagement: true },
  { ...script('nbxmpp', PYTHON, 'with_nbxmpp.py', ['-c', 'import nbxmpp']), tellsManagement: true },
  { ...script('Twisted', PYTHON, 'with_twisted.py', ['-c', 'import twisted.words']), tls: ['starttls'] },
  {
    ...script('AnyEvent::XMPP', PERL, 'with_anyevent.pl', ['-MAnyEvent::XMPP', '-e', '1']),
    refusedBy: WANTS_EXTERNAL,
  },
  { ...script('Net::XMPP', PERL, 'with_net_xmpp.pl', ['-MNet::XMPP', '-e', '1']), refusedBy: WANTS_EXTERNAL },
  // COMPAT: while xmpp4r shakes hands behind <proceed/>, its own parser still reads from the same socket; what it gets hold of is lost.
  { ...script('xmpp4r', RUBY, 'with_xmpp4r.rb', ['-rxmpp4r', '-e', '1']), racesWithItself: true },
  compiled('libstrophe', 'with_libstrophe.c', 'libstrophe'),
  compiled('loudmouth', 'with_loudmouth.c', 'loudmouth-1.0'),
  compiled('gloox', 'with_gloox.cpp', 'gloox'),
  compiled('libpurple', 'with_libpurple.c', 'purple'),
  terminal('mcabber'),
  terminal('profanity'),
  {
    ...sender('sendxmpp', ['a person'], ({ account, host, port, nick }) => [
      ...['--username', account.name, '--password', account.password, '--resource', nick],
      ...['--jserver', `${host}:${port}`, '--component', account.domain, '--tls', '--no-tls-verify'],
    ]),
    tls: ['starttls'],
    refusedBy: WANTS_EXTERNAL,
  },
  sender('go-sendxmpp', ['a person', 'a room'], (part) => [
    ...['--username', part.account.jid, '--password', part.account.password],
    ...['--jserver', `${part.host}:${part.port}`, '--alias', part.nick, '--no-tls-verify'],
    ...(part.tls === 'direct' ? ['--tls'] : []),
  ]),
];

function missingProgram(name: string, works: boolean): string | undefined {
  return works ? undefined : `${name} is not installed: run scripts/install-servers.sh`;
}

function positional(part: Part): string[] {
  const { host, port, tls, jid, account, peer, room } = part;
  return [host, String(port), tls, jid, account.password, peer, room];
}

function script(name: string, interpreter: string, file: string, probe: readonly string[]): MatrixClient {
  return {
    name,
    tls: BOTH,
    missing: () =>
      missingProgram(name, existsSync(interpreter) && spawnSync(interpreter, [...probe]).status === 0),
    command: (part) => ({ file: interpreter, args: [join(HERE, file), ...positional(part)] }),
  };
}

function terminal(name: string): MatrixClient {
  return {
    name,
    tls: BOTH,
    missing: () => missingProgram(name, findProgram(name) !== undefined),
    command: (part) => ({ file: PYTHON, args: [join(HERE, 'on_a_terminal.py'), name, ...positional(part)] }),
  };
}

/** For one person or one room at a time. */
function sender(
  name: string,
  speaksTo: NonNullable<MatrixClient['speaksTo']>,
  options: (part: Part) => string[],
): MatrixClient {
  return {
    name,
    tls: BOTH,
    speaksTo,
    missing: () => missingProgram(name, findProgram(name) !== undefined),
    command: (part, _folder, toRoom) => ({
      file: requireProgram(name),
      args: [...options(part), ...(toRoom ? ['--chatroom', part.room] : [part.peer])],
      input: toRoom ? 'a word for all' : 'a word for you',
    }),
  };
}

function compiled(name: string, source: string, library: string): MatrixClient {
  const program = source.replace(/\.\w+$/, '');
  return {
    name,
    tls: BOTH,
    missing: () => missingProgram(name, spawnSync('pkg-config', ['--exists', library]).status === 0),
    prepare: (folder) => {
      const flags = spawnSync('pkg-config', ['--cflags', '--libs', library], { encoding: 'utf8' });
      const compiler = source.endsWith('.c') ? 'cc' : 'c++';
      const args = [join(HERE, source), '-o', join(folder, program), ...flags.stdout.trim().split(/\s+/)];
      const outcome = spawnSync(compiler, args, { encoding: 'utf8' });
      if (outcome.status !== 0)
        throw new Error(`${source} does not compile: ${outcome.stderr ?? outcome.error}`);
    },
    command: (part, folder) => ({ file: join(folder, program), args: positional(part) }),
  };
}
