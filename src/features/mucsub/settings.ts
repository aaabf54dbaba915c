import { z } from 'zod';

/** With whom the proxy itself logs in. The password stands in a file or in the environment, and nowhere else. */
const OBSERVER = z
  .strictObject({
    /** Local part of its JID. */
    account: z.string().min(1),
    passwordFile: z.string().min(1).optional(),
    passwordEnv: z.string().min(1).optional(),
    /** In the rooms. */
    nick: z.string().min(1).default('interstanza'),
  })
  .refine(({ passwordFile, passwordEnv }) => (passwordFile === undefined) !== (passwordEnv === undefined), {
    error: 'needs either passwordFile or passwordEnv',
  });

/** What a domain's configuration may say about MUC/Sub. */
export const SETTINGS = z.strictObject({
  /** Whether subscriptions are allowed in a room whose owners have not said so. */
  allowSubscription: z.boolean().default(false),
  /** Whether the other resources of a subscriber go on getting events while one of them is in the room. */
  eventsWhileJoined: z.boolean().default(false),
  /** Seconds for which the server's session of the last client that has gone stays for the sake of its subscriptions; 0: not at all. */
  keepSeconds: z
    .int()
    .min(0)
    .max(90 * 86_400)
    .default(7 * 86_400),
  /** Sessions of a domain that may stay like that at one time. */
  keepSessions: z.int().min(0).default(10_000),
  /** Bytes of events of one room that are stored for those who are away; for what comes after, the room's archive is asked where it has one. */
  storeBytes: z.int().min(0).default(1_048_576),
  /** Seconds after which a stored event is dropped. */
  storeSeconds: z
    .int()
    .min(1)
    .max(90 * 86_400)
    .default(30 * 86_400),
  /** Rooms that one account may subscribe to. */
  subscriptionsPerAccount: z.int().min(1).default(500),
  /** An account of the domain, owner of the rooms, that hears each of them once for all subscribers; absent: they have their ghosts. */
  observer: OBSERVER.optional(),
});

export type ObserverSettings = z.infer<typeof OBSERVER>;

export type Settings = z.infer<typeof SETTINGS>;
