import { describe, expect, it } from 'vitest';
import { Admission } from '../../../src/transport/admission.js';
import { UpstreamQueue } from '../../../src/transport/upstream-queue.js';

describe('admission of connections that have not authenticated', () => {
  it('bounds them all together', () => {
    const admission = new Admission({ unauthenticatedConnections: 2, unauthenticatedPerAddress: 10 });
    expect(admission.enter('192.0.2.1')).toBeUndefined();
    expect(admission.enter('127.0.0.1')).toBeUndefined();
    expect(admission.enter('192.0.2.3')).toBe('too-many-unauthenticated');
    admission.leave('192.0.2.1');
    expect(admission.enter('192.0.2.3')).toBeUndefined();
    expect(admission.strangers).toBe(2);
  });

  it('bounds those of one address, and of one IPv6 network', () => {
    const admission = new Admission({ unauthenticatedConnections: 100, unauthenticatedPerAddress: 1 });
    expect(admission.enter('192.0.2.1')).toBeUndefined();
    expect(admission.enter('::ffff:192.0.2.1')).toBe('too-many-from-address');
    expect(admission.enter('2001:db8:1:2::1')).toBeUndefined();
    expect(admission.enter('2001:db8:1:2:ffff::9')).toBe('too-many-from-address');
    expect(admission.enter('2001:db8:1:3::1')).toBeUndefined();
    admission.leave('2001:db8:1:2::1');
    expect(admission.enter('2001:db8:1:2:ffff::9')).toBeUndefined();
  });

  it('does not count loopback as one party', () => {
    const admission = new Admission({ unauthenticatedConnections: 100, unauthenticatedPerAddress: 1 });
    for (const address of ['127.0.0.1', '127.0.0.1', '::1', '::1', '::ffff:127.0.0.1']) {
      expect(admission.enter(address)).toBeUndefined();
    }
  });
});

describe('the queue of an upstream', () => {
  it('admits as many as there are places, the others in order as places become free', () => {
    const queue = new UpstreamQueue(2);
    const admitted: number[] = [];
    const who = Array.from({ length: 5 }, (_, index) => ({ admitted: () => admitted.push(index) }));
    const [first, , , fourth] = who;
    for (const one of who) queue.enter(one);
    expect(admitted).toEqual([0, 1]);
    if (fourth !== undefined) queue.leave(fourth);
    if (first !== undefined) queue.leave(first);
    expect(admitted).toEqual([0, 1, 2]);
    if (first !== undefined) queue.leave(first);
    expect(admitted).toEqual([0, 1, 2]);
    for (const one of who) queue.leave(one);
    expect(admitted).toEqual([0, 1, 2, 4]);
  });
});
