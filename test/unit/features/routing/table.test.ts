import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { expected, TABLE, tableOf } from '../../../integration/routing/table.js';
import { SERVER_KINDS } from '../../../integration/servers/server.js';

describe('docs/routing-table.md', () => {
  const outcomes = expected();

  it('says what the test with real servers holds', () => {
    expect(readFileSync(TABLE, 'utf8')).toBe(tableOf(outcomes));
  });

  // What the columns have in common is what the rules promise.
  const columns = Object.entries(outcomes).filter(([name]) => /, proxy, /.test(name));

  it.each(columns)(
    '%s: to the account means each resource with a priority of 0 or more, once',
    (_, cells) => {
      for (const [cell, got] of Object.entries(cells)) {
        if (!cell.startsWith('bare: ') || cell === 'bare: private') continue;
        const resources = got
          .split(' ')
          .map((each) => each.replace('(copy)', ''))
          .filter((each) => each !== 'n');
        expect(resources, cell).toEqual(['a', 'b', 'c']);
      }
    },
  );

  it.each(columns)('%s: to one resource means that one, and gone one error and nobody', (_, cells) => {
    for (const kind of ['chat state', 'OTR', 'in-band bytes', 'private']) {
      for (const resource of ['a', 'c', 'n']) expect(cells[`${resource}: ${kind}`]).toBe(resource);
      expect(cells[`gone: ${kind}`]).toBe('error');
    }
  });

  it('has all three servers', () => {
    for (const server of SERVER_KINDS) expect(columns.some(([name]) => name.startsWith(server))).toBe(true);
  });
});
