import { z } from 'zod';

const seconds = z.number().min(0.1).max(86_400);
const text = z.string().min(1).max(500);
/** By language tag (RFC 5646), in lower case. */
const texts = z.record(z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/u), text);

/** What may be set for the feature, per domain; described in config/full.yaml. */
export const SETTINGS = z.strictObject({
  probes: z
    .union([z.literal(false), z.strictObject({ every: seconds.default(60), timeout: seconds.default(10) })])
    .prefault({}),
  refresh: z.boolean().default(true),
  show: z.boolean().default(true),
  rejoin: z.boolean().default(true),
  perSecond: z.int().min(1).max(100_000).default(400),
  language: z.string().min(1).max(35).default('en'),
  serverUnavailable: z.union([z.literal(false), texts]).default({
    en: 'The server {domain} cannot be reached; this may be out of date',
    de: 'Der Server {domain} ist nicht zu erreichen; das kann veraltet sein',
    fr: 'Le serveur {domain} est injoignable ; ceci peut être périmé',
    es: 'No se puede contactar con el servidor {domain}; esto puede estar desactualizado',
  }),
  connectionPaused: z.union([z.literal(false), texts]).default({
    en: 'The connection of this device is interrupted',
    de: 'Die Verbindung dieses Geräts ist unterbrochen',
    fr: 'La connexion de cet appareil est interrompue',
    es: 'La conexión de este dispositivo está interrumpida',
  }),
});

export type Settings = z.infer<typeof SETTINGS>;
