import { escapeAttribute } from '../src/xml/serialize.js';
import { type Result, verdict } from './measurement.js';
import { number } from './report.js';

/** Bars of one unit, with a line of their own for what they are measured by. */
export interface Chart {
  readonly title: string;
  readonly results: readonly Result[];
  /** What 1.0 is; undefined: there is no such thing. */
  readonly one?: string;
}

const WIDTH = 760;
const LABELS = 330;
const VALUES = 110;
const ROW = 26;
const BAR = 14;
const TOP = 58;
const BOTTOM = 16;

/** Colours that can be told from a white and from a black ground, also without telling red from green. */
const COLOURS = { good: '#3987e5', bad: '#e0742b', aim: '#9085e9', one: '#8a8a86', text: '#7a7a76' } as const;

/** A chart of horizontal bars. Text takes the colour of the page it stands on where that is known. */
export function svgOf({ title, results, one }: Chart): string {
  const height = TOP + results.length * ROW + BOTTOM;
  const aims = results.flatMap(({ target }) => (target === undefined ? [] : [target]));
  const longest = Math.max(...results.map(({ most }) => most), ...aims, one === undefined ? 0 : 1);
  const x = (value: number): number => LABELS + (value / longest) * (WIDTH - LABELS - VALUES);
  const rows = results.map((result, at) => rowOf(result, TOP + at * ROW, x));
  const unity = one === undefined ? '' : unityLine(one, x(1), height);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeAttribute(title)}">`,
    `<style>text{font:13px system-ui,sans-serif;fill:${COLOURS.text}}.title{font-weight:600;font-size:15px}.small{font-size:11px}`,
    '@media(prefers-color-scheme:dark){text{fill:#c3c2b7}}@media(prefers-color-scheme:light){text{fill:#52514e}}</style>',
    `<text class="title" x="8" y="22">${escapeAttribute(title)}</text>`,
    `<rect x="${WIDTH - VALUES - 92}" y="13" width="3" height="12" fill="${COLOURS.aim}"/>`,
    `<text class="small" x="${WIDTH - VALUES - 84}" y="22">target</text>`,
    unity,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}

function rowOf(result: Result, y: number, x: (value: number) => number): string {
  const { title, value, least, most, target, unit } = result;
  const bad = verdict(result) === 'missed';
  const middle = y + BAR / 2;
  const width = Math.max(1, x(value) - x(0));
  const parts = [
    `<text x="${LABELS - 10}" y="${middle + 4.5}" text-anchor="end">${escapeAttribute(title)}</text>`,
    `<rect x="${x(0)}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${bad ? COLOURS.bad : COLOURS.good}"/>`,
  ];
  if (most > least) {
    parts.push(
      `<path d="M${x(least).toFixed(1)} ${middle}H${x(most).toFixed(1)}" stroke="${COLOURS.text}" stroke-width="1.5"/>`,
    );
  }
  if (target !== undefined) {
    parts.push(
      `<rect x="${(x(target) - 1.5).toFixed(1)}" y="${y - 3}" width="3" height="${BAR + 6}" fill="${COLOURS.aim}"/>`,
    );
  }
  parts.push(
    `<text x="${WIDTH - VALUES + 12}" y="${middle + 4.5}">${number(value)} ${unit}${bad ? ' missed' : ''}</text>`,
  );
  return parts.join('');
}

function unityLine(label: string, at: number, height: number): string {
  return (
    `<path d="M${at.toFixed(1)} ${TOP - 8}V${height - BOTTOM}" stroke="${COLOURS.one}" stroke-dasharray="4 3"/>` +
    `<text class="small" x="${at.toFixed(1)}" y="${TOP - 12}" text-anchor="middle">${escapeAttribute(label)} = 1</text>`
  );
}
