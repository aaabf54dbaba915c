import { z } from 'zod';

/** What may be set for `routing` in a domain; each rule on its own, and with all of them off nothing is touched. */
export const SETTINGS = z.strictObject({
  /** `<xmpp-2/>` on what leaves the realm, `<xmpp-1/>` on what enters it without. */
  marks: z.boolean().default(true),
  /** What is said to one resource of somebody goes to all of them: no resource locking. */
  readdress: z.boolean().default(true),
  /** Domains, beyond the own one, on which a full JID is a user's device and not something else. */
  userDomains: z.array(z.string().min(1)).default([]),
  /** What stays addressed to a full JID is not to be copied. */
  modifiers: z.boolean().default(true),
  /** The hint that it is not to be archived either (XEP-0334). */
  archiveHint: z.enum(['no-store', 'no-permanent-store', 'none']).default('no-store'),
  /** What comes with `<xmpp-2/>` is relieved of what was put in for others. */
  strip: z.boolean().default(true),
  /** All sessions of an account get what is for the account: carbons are turned on, copies unwrapped or made. */
  copies: z.boolean().default(true),
  /** What is for a resource that is gone is returned and not delivered to another. */
  gone: z.boolean().default(true),
  /** Also to a sender who does not know the resource that has to answer: the answer names it. */
  answerStrangers: z.boolean().default(false),
  /** XEP-0409 is offered. */
  imNg: z.boolean().default(true),
});

export type RoutingSettings = z.infer<typeof SETTINGS>;
