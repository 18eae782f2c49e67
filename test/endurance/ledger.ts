/** Every acknowledged event, and what must be true of the members' journals and files because of it. */
import type { LogEntry } from '../../dist/contracts/index.js';
import { verifyJournals } from '../../dist/cli/verify/verify.js';
import { withScans } from '../../dist/cli/verify/open.js';
import type { Status } from '../../dist/index.js';
import { isBefore, type Placed, type Row } from '../helpers/cluster.js';
import type { NodeProcess } from '../helpers/node-process.js';
import { must } from './context.js';

const SHOWN = 3;
const PAGE_ENTRIES = 1000;
/** A founder's journal begins behind the entry that founds the cluster. */
const FIRST_INDEX = 2n;

interface Acknowledged extends Placed {
  readonly term: bigint;
}

const few = (ids: readonly string[]): string => `${ids.slice(0, SHOWN).join(', ')}${ids.length > SHOWN ? `, and ${ids.length - SHOWN} more` : ''}`;

export class Ledger {
  readonly #places = new Map<string, Acknowledged>();
  readonly #hashes = new Map<bigint, { readonly hash: string; readonly member: string }>();
  /** Receipts that named the place of an earlier attempt. */
  duplicates = 0;

  /** `quorum`: the disks that every receipt must count at least. */
  constructor(private readonly quorum = 2) {}

  get size(): number {
    return this.#places.size;
  }

  /** What is added to the copy is not in this one. */
  copy(): Ledger {
    const copy = new Ledger(this.quorum);
    for (const [id, place] of this.#places) copy.#places.set(id, place);
    return copy;
  }

  add({ eventId, index, offset, term, duplicate, durableMembers }: Acknowledged & { readonly duplicate: boolean; readonly durableMembers: number }): void {
    if (duplicate) this.duplicates += 1;
    const earlier = this.#places.get(eventId);
    must(earlier === undefined || (earlier.index === index && earlier.offset === offset), `two receipts of ${eventId} name ${earlier?.index}/${earlier?.offset} and ${index}/${offset}`);
    must(durableMembers >= this.quorum, `the receipt of ${eventId} counts ${durableMembers} disks`);
    this.#places.set(eventId, { eventId, index, offset, term });
  }

  /** What members say of themselves: the same index can never have two hashes. */
  see(statuses: readonly Status[]): void {
    for (const { nodeId, appliedIndex, applyHash } of statuses) {
      const earlier = this.#hashes.get(appliedIndex);
      must(earlier === undefined || earlier.hash === applyHash, `${earlier?.member} and ${nodeId} had different hashes at index ${appliedIndex}`);
      if (earlier === undefined) this.#hashes.set(appliedIndex, { hash: applyHash, member: nodeId });
    }
  }

  /**
   * The journals of running members that have applied the same are equal, in order, and hold exactly the acknowledged events, each once and
   * where its receipt says. A member that began with a snapshot has the journal from there on; at least a quorum has all of it.
   */
  async checkJournals(members: readonly NodeProcess[]): Promise<void> {
    const journals = await Promise.all(
      members.map(async (member) => {
        const first = (await member.status()).groups[0]?.firstIndex ?? 0n;
        const whole = first <= FIRST_INDEX;
        return { member: member.id, first, whole, rows: await (whole ? member.journal() : member.journal(this.#last())) };
      }),
    );
    const [reference, ...others] = journals.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    must(reference !== undefined && journals.filter(({ whole }) => whole).length >= Math.min(this.quorum, members.length), 'fewer journals than a quorum are whole');
    const sequences = new Map<string, bigint>();
    for (const [at, row] of reference.rows.entries()) {
      must(at === 0 || isBefore(reference.rows[at - 1] as Row, row), `${reference.member}'s journal is out of order at ${row.index}/${row.offset}`);
      if (row.session === null) continue;
      must(row.sequence > (sequences.get(row.session) ?? 0n), `session ${row.session} is out of order at ${row.index}/${row.offset} in ${reference.member}'s journal`);
      sequences.set(row.session, row.sequence);
    }
    this.#check(`${reference.member}'s journal`, reference.rows, 0n);
    for (const { member, first, rows } of others) {
      const wanted = reference.rows.filter(({ index }) => index >= first);
      must(rows.length === wanted.length, `from index ${first} on the journals of ${reference.member} and ${member} have ${wanted.length} and ${rows.length} events`);
      for (const [at, row] of rows.entries()) {
        const other = wanted[at] as Row;
        const same = row.id === other.id && row.index === other.index && row.offset === other.offset && row.term === other.term && row.session === other.session && row.sequence === other.sequence && row.path === other.path;
        must(same, `the journals of ${reference.member} and ${member} differ at ${row.index}/${row.offset}`);
      }
    }
  }

  /** The same of the files of stopped members, whatever their commit marks say; and the product's own verification agrees. */
  async checkFiles(dataDirs: readonly string[]): Promise<void> {
    await withScans(dataDirs, async (scans) => {
      for (const scan of scans) {
        const { damage, nodeId, groups } = scan.summary;
        must(damage === null, `${nodeId}'s files are damaged: ${damage?.segment} at ${damage?.position}, ${damage?.reason}`);
        const placed: Placed[] = [];
        const first = groups[0]?.firstIndex ?? 0n;
        for (let from = first; ; ) {
          const entries = await scan.entries(0, from, PAGE_ENTRIES);
          if (entries.length === 0) break;
          for (const { index, events } of entries) for (const { id, offset } of events) placed.push({ eventId: id, index, offset });
          from = (entries.at(-1) as LogEntry).index + 1n;
        }
        this.#check(`${nodeId}'s files`, placed.map(({ eventId, index, offset }) => ({ id: eventId, index, offset })), first);
      }
      const receipts = new Map([...this.#places].map(([id, { index, offset, term }], line) => [id, { group: 0, index, offset, term, line, found: 0n }]));
      const verdict = await verifyJournals(scans, receipts);
      must(verdict.ok, () => `log verify: ${verdict.problems.slice(0, SHOWN).map(({ message }) => message).join('; ')}`);
    }, { wanted: [...this.#places.keys()] });
  }

  /** The place of the last acknowledged event. */
  #last(): Placed {
    const [one, ...others] = this.#places.values();
    must(one !== undefined, 'no event is acknowledged');
    return others.reduce((last, other) => (isBefore(last, other) ? other : last), one);
  }

  #check(where: string, rows: readonly { readonly id: string; readonly index: bigint; readonly offset: number }[], first: bigint): void {
    const seen = new Set<string>();
    const doubled: string[] = [];
    const elsewhere: string[] = [];
    const unknown: string[] = [];
    for (const { id, index, offset } of rows) {
      if (seen.has(id)) doubled.push(id);
      seen.add(id);
      const place = this.#places.get(id);
      if (place === undefined) unknown.push(id);
      else if (place.index !== index || place.offset !== offset) elsewhere.push(id);
    }
    const lost = [...this.#places.values()].filter(({ eventId, index }) => index >= first && !seen.has(eventId)).map(({ eventId }) => eventId);
    must(lost.length === 0, () => `${where} lacks ${lost.length} of ${this.#places.size} acknowledged events: ${few(lost)}`);
    must(doubled.length === 0, () => `${where} has ${doubled.length} events twice: ${few(doubled)}`);
    must(elsewhere.length === 0, () => `${where} has ${elsewhere.length} events elsewhere than their receipts say: ${few(elsewhere)}`);
    must(unknown.length === 0, () => `${where} has ${unknown.length} events that nobody has a receipt of: ${few(unknown)}`);
  }
}
