import type { Frame } from '../../xml/frame.js';

/** RFC 6121 §5.2.2: an absent type is `normal`, and so is one that nobody knows. */
export type MessageType = 'chat' | 'normal' | 'groupchat' | 'headline' | 'error';

const NAMES: readonly string[] = ['chat', 'groupchat', '', 'normal', 'error', 'headline'];
const TYPES: readonly MessageType[] = ['chat', 'groupchat', 'normal', 'normal', 'error', 'headline'];

/** The type of a message, without making a string of it. */
export function messageType(frame: Frame): MessageType {
  return TYPES[frame.attributeAmong('type', NAMES)] ?? 'normal';
}

/** What is of these types is for the resource that it is addressed to. */
export function isOfOneResource(type: MessageType): boolean {
  return type === 'groupchat' || type === 'headline' || type === 'error';
}
