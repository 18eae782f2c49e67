/** Longest time between two neighbours of a list of moments, in the list's unit; 0 for fewer than two. */
export function longestGap(moments: Float64Array): number {
  const sorted = moments.slice().sort();
  let longest = 0;
  for (let at = 1; at < sorted.length; at++) longest = Math.max(longest, sorted[at]! - sorted[at - 1]!);
  return longest;
}
