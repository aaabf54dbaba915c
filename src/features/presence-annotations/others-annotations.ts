import type { FeatureContext, PassingStanza, Verdict } from '../../session/feature.js';
import {
  type Annotating,
  annotationChildren,
  type Description,
  describe,
  isBelieved,
  readAnnotations,
} from './annotation.js';
import { showAnnotation } from './display.js';
import type { Settings } from './settings.js';

/** What becomes of annotations that others have made: whose word counts, and the client's half of the protocol (XEP-0310 §6). */
export class OthersAnnotations {
  constructor(
    private readonly context: FeatureContext,
    private readonly settings: Settings,
    private readonly ownDomain: string,
  ) {}

  /**
   * @param stanza an annotated presence @param sender its domain, prepared
   * @param isViewer the client understands annotations; another one is shown what it can show, in this language
   * @returns beside the verdict what the last annotation says that is believed; undefined: there is none, or it is not one of somebody available
   */
  judge(
    stanza: PassingStanza,
    sender: string,
    isViewer: boolean,
    language: string | undefined,
  ): { readonly verdict: Verdict; readonly says: Annotating | undefined } {
    const { frame } = stanza;
    const tree = stanza.tree();
    const all = readAnnotations(frame, tree);
    const isTrusted = ({ from }: (typeof all)[number]): boolean => isBelieved(from, this.ownDomain, sender);
    const believed = all.filter(isTrusted);
    const isPresence = frame.type === undefined;
    const said = isPresence ? believed.at(-1) : undefined;
    const says = said?.says;
    for (let i = believed.length; i < all.length; i++) this.context.count('annotation-not-believed');
    if (isViewer && isPresence) {
      if (believed.length === all.length) return { verdict: { action: 'pass' }, says };
      for (const each of all) if (!isTrusted(each)) stanza.edit().removeChild(each.child);
      return { verdict: { action: 'edit', reason: 'annotation-not-believed' }, says };
    }
    for (const { child } of all) stanza.edit().removeChild(child);
    const isDropped = says === undefined || says === 'restored' || !this.settings.show;
    if (isDropped || said === undefined) {
      const reason = believed.length > 0 ? 'annotation-removed' : 'annotation-not-believed';
      return { verdict: { action: 'edit', reason }, says };
    }
    const own = describe(this.settings, says, language, sender);
    const descriptions: readonly Description[] =
      said.descriptions.length > 0 ? said.descriptions : own ? [own] : [];
    showAnnotation(stanza, tree, says, descriptions);
    return { verdict: { action: 'edit', reason: 'annotation-shown' }, says };
  }

  /** Takes all of them out of a presence of which it is not known who has sent it. */
  remove(stanza: PassingStanza): Verdict {
    for (const child of annotationChildren(stanza.frame)) stanza.edit().removeChild(child);
    this.context.count('annotation-not-believed');
    return { action: 'edit', reason: 'annotation-not-believed' };
  }
}
