import { describe, expect, it } from 'vitest';
import { svgOf } from '../../../bench/chart.js';
import { overRounds, type Result, verdict } from '../../../bench/measurement.js';
import { reportOf, tableOf } from '../../../bench/report.js';
import { CHAT } from '../../../bench/streams.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';

function result(changes: Partial<Result> = {}): Result {
  const fixed = {
    name: 'a',
    title: 'A <b>',
    unit: '×',
    target: 2,
    better: 'less',
    detail: 'of this & that',
  } as const;
  return { ...overRounds(fixed, [1.4, 1.6, 1.5]), ...changes };
}

describe('verdict', () => {
  it.each([
    { value: 2, better: 'less', expected: 'met' },
    { value: 2.19, better: 'less', expected: 'within tolerance' },
    { value: 2.3, better: 'less', expected: 'missed' },
    { value: 2, better: 'more', expected: 'met' },
    { value: 1.85, better: 'more', expected: 'within tolerance' },
    { value: 1.5, better: 'more', expected: 'missed' },
  ] as const)('of $value where $better than 2 is good: $expected', ({ value, better, expected }) => {
    expect(verdict(result({ value, better }))).toBe(expected);
  });

  it('is none where nothing is aimed at', () => {
    const { target: _, ...informative } = result();
    expect(verdict(informative)).toBeUndefined();
  });
});

describe('the table', () => {
  it('shows result, range, target and verdict on one line', () => {
    const [, , line] = tableOf([result()]).split('\n');
    expect(line).toMatch(/^A <b> +1\.50 × +1\.40–1\.60 +≤ 2 × +met +of this & that$/);
  });
});

describe('the report', () => {
  it('keeps the verdicts beside the numbers', () => {
    const report = reportOf([result({ value: 3 })], new Date(0));
    expect(report.when).toBe('1970-01-01T00:00:00.000Z');
    expect(report.results[0]).toMatchObject({ name: 'a', value: 3, verdict: 'missed' });
  });
});

describe('a chart', () => {
  const svg = svgOf({ title: 'T & U', results: [result(), result({ value: 4, most: 4 })], one: 'relay' });

  it('is one well-formed element', () => {
    const table = new NamespaceTable([...Object.values(NS), 'http://www.w3.org/2000/svg']);
    expect(parseStanza(Buffer.from(svg.trim()), table)).toMatchObject({ flaw: 'none' });
  });

  it('says in words which bar has missed its target', () => {
    expect(svg).toContain('>1.50 ×<');
    expect(svg).toContain('>4.00 × missed<');
  });

  it('draws the line of what 1.0 is only where there is such a thing', () => {
    expect(svg).toContain('relay = 1');
    expect(svgOf({ title: 'T', results: [result()] })).not.toContain('= 1<');
  });
});

describe('the chat message', () => {
  it('is a stanza of about 330 bytes', () => {
    expect(CHAT.length).toBeGreaterThan(320);
    expect(CHAT.length).toBeLessThan(345);
    expect(parseStanza(CHAT, new NamespaceTable(Object.values(NS)))).toMatchObject({ flaw: 'none', kind: 1 });
  });
});
