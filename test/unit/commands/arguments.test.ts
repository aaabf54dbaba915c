import { describe, expect, it } from 'vitest';
import { configFlags, parseFlags, SERVING_FLAGS } from '../../../src/commands/arguments.js';

describe('the command line', () => {
  it('is read, values with or without =', () => {
    const flags = configFlags(
      parseFlags(
        [
          '--domain=a.test',
          '--upstream',
          'xmpp://127.0.0.1:1',
          '--listen',
          'xmpp://127.0.0.1:0',
          '--listen=xmpps://127.0.0.1:0?accept-proxy=10.0.0.0/8',
          '--data',
          'd',
          '--admin',
          '127.0.0.1:0',
          '--log-level',
          'warn',
          '--config',
          'f.yaml',
        ],
        SERVING_FLAGS,
      ),
    );
    expect(flags).toEqual({
      domains: ['a.test'],
      upstreams: ['xmpp://127.0.0.1:1'],
      listeners: ['xmpp://127.0.0.1:0', 'xmpps://127.0.0.1:0?accept-proxy=10.0.0.0/8'],
      data: 'd',
      admin: '127.0.0.1:0',
      logLevel: 'warn',
      config: 'f.yaml',
    });
  });

  const mistakes: readonly (readonly [readonly string[], RegExp])[] = [
    [['--domian', 'a'], /unknown flag --domian \(did you mean "--domain"\?\)/],
    [['--domain'], /--domain needs a value/],
    [['--domain', '--upstream', 'x'], /--domain needs a value/],
    [['--config', 'a', '--config', 'b'], /--config is given twice/],
    [['--help=yes'], /--help takes no value/],
    [['example.org'], /unexpected argument "example.org"/],
    [['-x'], /unknown flag -x/],
  ];
  for (const [args, complaint] of mistakes) {
    it(`is refused as ${args.join(' ')}`, () => {
      expect(() => parseFlags(args, SERVING_FLAGS)).toThrow(complaint);
    });
  }

  it('knows --help and -h everywhere', () => {
    expect(parseFlags(['-h'], {}).has('help')).toBe(true);
    expect(parseFlags(['--help'], SERVING_FLAGS).has('help')).toBe(true);
  });
});
