import { assessUpstream } from '../stream/assessment.js';
import { probeUpstream } from './doctor/probe.js';
import type { UpstreamAdvisor } from './serve.js';

/** Looks at a server once, as `doctor` does without signing in, and says what clients would notice. */
export const adviseOnUpstream: UpstreamAdvisor = async (domain, upstream, presented) => {
  const { advice } = assessUpstream(await probeUpstream(upstream, domain), upstream, presented);
  const problems = advice.filter(({ weight }) => weight === 'problem');
  return problems.length === 0 ? undefined : problems.map(({ sentence }) => sentence).join(' ');
};
