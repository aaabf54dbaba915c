import { NS } from '../../../src/xml/namespaces.js';

/** A disco#info result's query with these children. */
export const disco = (children: string, node?: string) =>
  `<query xmlns='${NS.discoInfo}'${node === undefined ? '' : ` node='${node}'`}>${children}</query>`;

export const featureList = (...features: string[]) =>
  features.map((feature) => `<feature var='${feature}'/>`).join('');

/** XEP-0115 §5.2. */
export const EXODUS = `<identity category='client' type='pc' name='Exodus 0.9.1'/>
<feature var='http://jabber.org/protocol/caps'/>
<feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/>
<feature var='http://jabber.org/protocol/muc'/>`;
export const EXODUS_VER = 'QgayPKawpkPSDYmwT/WM94uAlu0=';

/** XEP-0115 §5.3. */
export const PSI = `<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
<feature var='http://jabber.org/protocol/caps'/>
<feature var='http://jabber.org/protocol/disco#info'/>
<feature var='http://jabber.org/protocol/disco#items'/>
<feature var='http://jabber.org/protocol/muc'/>
<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field><field var='ip_version'><value>ipv4</value><value>ipv6</value></field><field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field><field var='software'><value>Psi</value></field><field var='software_version'><value>0.11</value></field></x>`;

export const FORM = (fields: string, type = 'urn:example:form') =>
  `<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>${type}</value></field>${fields}</x>`;

const TKABBER_FEATURES =
  'games:board http://jabber.org/protocol/activity http://jabber.org/protocol/activity+notify http://jabber.org/protocol/bytestreams http://jabber.org/protocol/chatstates http://jabber.org/protocol/commands http://jabber.org/protocol/disco#info http://jabber.org/protocol/disco#items http://jabber.org/protocol/evil http://jabber.org/protocol/feature-neg http://jabber.org/protocol/geoloc http://jabber.org/protocol/geoloc+notify http://jabber.org/protocol/ibb http://jabber.org/protocol/iqibb http://jabber.org/protocol/mood http://jabber.org/protocol/mood+notify http://jabber.org/protocol/rosterx http://jabber.org/protocol/si http://jabber.org/protocol/si/profile/file-transfer http://jabber.org/protocol/tune http://www.facebook.com/xmpp/messages http://www.xmpp.org/extensions/xep-0084.html#ns-metadata+notify jabber:iq:avatar jabber:iq:browse jabber:iq:dtcp jabber:iq:filexfer jabber:iq:ibb jabber:iq:inband jabber:iq:jidlink jabber:iq:last jabber:iq:oob jabber:iq:privacy jabber:iq:roster jabber:iq:time jabber:iq:version jabber:x:data jabber:x:event jabber:x:oob urn:xmpp:avatar:metadata+notify urn:xmpp:ping urn:xmpp:receipts urn:xmpp:time';

/** XEP-0390 §4.5.2. */
export const TKABBER = `<identity category="client" name="Tkabber" type="pc" xml:lang="en"/>
<identity category="client" name="Ткаббер" type="pc" xml:lang="ru"/>
${featureList(...TKABBER_FEATURES.split(' '))}
${FORM(
  `<field var="software"><value>Tkabber</value></field><field var="software_version"><value>0.11.1-svn-20111216-mod (Tcl/Tk 8.6b2)</value></field><field var="os"><value>Windows</value></field><field var="os_version"><value>XP</value></field>`,
  'urn:xmpp:dataforms:softwareinfo',
)}`;
export const TKABBER_SHA256 = 'u79ZroNJbdSWhdSp311mddz44oHHPsEBntQ5b1jqBSY=';
