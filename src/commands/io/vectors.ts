/** Consecutive views of `data` of these lengths. */
export function splitBuffer(data: Buffer, lengths: readonly number[]): Buffer[] {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return data.subarray(at - length, at);
  });
}
