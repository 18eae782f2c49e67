/** Every acknowledged event, and what must be true of the members' journals and files because of it. */
import type { LogEntry } from '../../dist/contracts/index.js';
import { verifyJournals } from '../../dist/cli/verify/verify.js';
import { withScans } from '../../dist/cli/verify/open.js';
import type { Status } from '../../dist/index.js';
import { isBefore, type Placed, type Row } from '../helpers/cluster.js';
import { must } from './context.js';

const SHOWN = 3;
const PAGE_ENTRIES = 1000;

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

  /** All journals are equal, in order, and hold exactly the acknowledged events, each once and where its receipt says. */
  checkJournals(journals: ReadonlyMap<string, readonly Row[]>): void {
    const [[first, reference] = ['', []], ...others] = journals;
    const sequences = new Map<string, bigint>();
    for (const [at, row] of reference.entries()) {
      must(at === 0 || isBefore(reference[at - 1] as Row, row), `${first}'s journal is out of order at ${row.index}/${row.offset}`);
      if (row.session === null) continue;
      must(row.sequence > (sequences.get(row.session) ?? 0n), `session ${row.session} is out of order at ${row.index}/${row.offset} in ${first}'s journal`);
      sequences.set(row.session, row.sequence);
    }
    this.#check(`${first}'s journal`, reference);
    for (const [member, journal] of others) {
      must(journal.length === reference.length, `the journals of ${first} and ${member} have ${reference.length} and ${journal.length} events`);
      for (const [at, row] of journal.entries()) {
        const other = reference[at] as Row;
        const same = row.id === other.id && row.index === other.index && row.offset === other.offset && row.term === other.term && row.session === other.session && row.sequence === other.sequence && row.path === other.path;
        must(same, `the journals of ${first} and ${member} differ at ${row.index}/${row.offset}`);
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
        for (let from = groups[0]?.firstIndex ?? 0n; ; ) {
          const entries = await scan.entries(0, from, PAGE_ENTRIES);
          if (entries.length === 0) break;
          for (const { index, events } of entries) for (const { id, offset } of events) placed.push({ eventId: id, index, offset });
          from = (entries.at(-1) as LogEntry).index + 1n;
        }
        this.#check(`${nodeId}'s files`, placed.map(({ eventId, index, offset }) => ({ id: eventId, index, offset })));
      }
      const receipts = new Map([...this.#places].map(([id, { index, offset, term }], line) => [id, { group: 0, index, offset, term, line, found: 0 }]));
      const verdict = await verifyJournals(scans, receipts);
      must(verdict.ok, () => `log verify: ${verdict.problems.slice(0, SHOWN).map(({ message }) => message).join('; ')}`);
    });
  }

  #check(where: string, rows: readonly { readonly id: string; readonly index: bigint; readonly offset: number }[]): void {
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
    const lost = [...this.#places.keys()].filter((id) => !seen.has(id));
    must(lost.length === 0, () => `${where} lacks ${lost.length} of ${this.#places.size} acknowledged events: ${few(lost)}`);
    must(doubled.length === 0, () => `${where} has ${doubled.length} events twice: ${few(doubled)}`);
    must(elsewhere.length === 0, () => `${where} has ${elsewhere.length} events elsewhere than their receipts say: ${few(elsewhere)}`);
    must(unknown.length === 0, () => `${where} has ${unknown.length} events that nobody has a receipt of: ${few(unknown)}`);
  }
}
