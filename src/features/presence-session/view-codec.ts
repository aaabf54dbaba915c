import { Buffer } from 'node:buffer';
import { Digest } from './digest.js';
import { MessageTrail } from './message-trail.js';
import { Occupants } from './occupants.js';
import { TimeMarks } from './time-marks.js';
import { type Departure, View } from './view.js';

const FORMAT = 2;
const HEADER = 12;
const ROW = 25;

interface Head {
  readonly format: number;
  readonly former?: string | undefined;
  readonly since?: number | undefined;
  readonly caughtUp?: number | undefined;
  readonly last: number;
  readonly floor: number;
  readonly moderator: boolean;
  readonly departures: readonly (readonly [nick: string, flags: number, appeared: number, id: number])[];
  readonly trail: readonly number[];
  readonly ids: readonly number[];
  readonly times: readonly number[];
  readonly occupants: number;
}

/** A view as bytes: its expiry, a head in JSON, and a row for each occupant. */
export function encodeView(view: View, expires: number): Buffer {
  const { former, since, caughtUp, last, floor, moderator, occupants, departures, trail, times } =
    view.parts();
  const head: Head = {
    format: FORMAT,
    former,
    since,
    caughtUp,
    last,
    floor,
    moderator,
    departures: departures.map(({ nick, flags, appeared, id }) => [nick, flags, appeared, id]),
    trail: [...trail.records],
    ...times.marks,
    occupants: occupants.size,
  };
  const headBytes = Buffer.from(JSON.stringify(head));
  const rowBytes = occupants.size * (ROW + 4) + occupants.nickBytes;
  const out = Buffer.allocUnsafeSlow(HEADER + headBytes.length + rowBytes);
  out.writeDoubleBE(expires, 0);
  out.writeUInt32BE(headBytes.length, 8);
  headBytes.copy(out, HEADER);
  let at = HEADER + headBytes.length;
  for (let row = 0; row < occupants.size; row++) {
    at = out.writeInt32BE(occupants.lo(row), at);
    at = out.writeInt32BE(occupants.hi(row), at);
    at = out.writeInt32BE(occupants.spelledLo(row), at);
    at = out.writeInt32BE(occupants.spelledHi(row), at);
    at = out.writeUInt32BE(occupants.appeared(row), at);
    at = out.writeUInt32BE(occupants.changed(row), at);
    at = out.writeUInt8(occupants.flags(row), at);
    at = out.writeUInt32BE(occupants.nickLength(row), at);
    at = occupants.copyNick(row, out, at);
  }
  return out;
}

/** @returns undefined for what this version has not written */
export function decodeView(session: string, value: Buffer): View | undefined {
  try {
    const headEnd = HEADER + value.readUInt32BE(8);
    const head = JSON.parse(value.toString('utf8', HEADER, headEnd)) as Head;
    if (head.format !== FORMAT) return undefined;
    const digest = new Digest(View.keyOf(session));
    const occupants = new Occupants(digest.key0, digest.key1, head.occupants);
    let at = headEnd;
    for (let row = 0; row < head.occupants; row++) {
      const nickEnd = at + ROW + 4 + value.readUInt32BE(at + ROW);
      const said = {
        lo: value.readInt32BE(at),
        hi: value.readInt32BE(at + 4),
        spelledLo: value.readInt32BE(at + 8),
        spelledHi: value.readInt32BE(at + 12),
        flags: value.readUInt8(at + 24),
      };
      const nick = value.toString('utf8', at + ROW + 4, nickEnd);
      occupants.add(nick, said, value.readUInt32BE(at + 16), value.readUInt32BE(at + 20));
      at = nickEnd;
    }
    const departures: Departure[] = head.departures.map(([nick, flags, appeared, id]) => ({
      nick,
      flags,
      appeared,
      id,
    }));
    return View.from({
      session,
      former: head.former,
      since: head.since,
      caughtUp: head.caughtUp,
      last: head.last,
      floor: head.floor,
      moderator: head.moderator,
      occupants,
      departures,
      trail: MessageTrail.from(Int32Array.from(head.trail)),
      times: new TimeMarks(head.ids, head.times),
    });
  } catch {
    return undefined;
  }
}
