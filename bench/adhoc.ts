import { readdirSync, readFileSync } from 'node:fs';
import { Cluster } from './cluster.js';
import { percentile } from './samples.js';
const rate = Number(process.argv[2] ?? 10000), batch = Number(process.argv[3] ?? 20), ms = Number(process.argv[4] ?? 4000);
const threads = (pid: number): Map<string, number> => {
  const out = new Map<string, number>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')) + (tid === String(pid) ? '*' : '');
    const f = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    out.set(name, (out.get(name) ?? 0) + (Number(f[11]) + Number(f[12])) * 10);
  }
  return out;
};
await Cluster.with('/tmp', async ({ members }) => {
  await Promise.all(members.map((m) => m.call('followCausal')));
  await Promise.all(members.map((m) => m.call('publishCausal', { ratePerSecond: 100, batch: 10, durationMs: 300 })));
  const pids = members.map((m) => (m as unknown as { pid: number }).pid);
  const before = pids.map(threads);
  const pub = await Promise.all(members.map((m) => m.call('publishCausal', { ratePerSecond: rate / members.length, batch, durationMs: ms })));
  const events = pub.reduce((s, r) => s + r.events, 0) + 300;
  const fol = await Promise.all(members.map((m) => m.call('followedCausal', { events })));
  const sum = new Map<string, number>();
  pids.map(threads).forEach((now, at) => now.forEach((v, k) => sum.set(k, (sum.get(k) ?? 0) + v - (before[at]!.get(k) ?? 0))));
  const lat = Float64Array.from(fol.flatMap(({ latenciesMs }) => [...latenciesMs]));
  console.log('delivery p50', percentile(lat, 0.5).toFixed(1), 'p99', percentile(lat, 0.99).toFixed(1), 'publish p99', percentile(Float64Array.from(pub.flatMap((p) => [...p.latenciesMs])), 0.99).toFixed(1));
  console.log('cpu ms by thread over', ms, 'ms and ten nodes:', [...sum].filter(([, v]) => v > 50).sort((a, b) => b[1] - a[1]).map(([k, v]) => `${k}=${v}`).join(' '), 'total', [...sum.values()].reduce((a, b) => a + b, 0));
}, { ids: ['a', 'b', 'c', 'd', 'e', 'f', 'g'], learners: ['h', 'i', 'j'] });
