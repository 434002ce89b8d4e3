/** What a page and the test that opened it tell each other: jobs as JSON, files by their addresses, one answer for each job. */

export async function bytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** RGB bytes as the ImageData that a web page would have of them. */
export async function image({rgb, width, height}) {
  const from = await bytes(rgb), to = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < from.length; i++) to[4 * Math.floor(i / 3) + i % 3] = from[i];
  return new ImageData(to, width, height);
}

/** Does every job and posts the answers; a job that throws is answered with how far it came and what was thrown. */
export async function answer(work) {
  const tell = document => fetch('/answers', {method: 'POST', body: JSON.stringify(document)});
  try {
    const answers = [];
    for (const job of await (await fetch('/jobs')).json()) {
      const answered = {};
      try {
        await work(job, answered);
      } catch (error) {
        answered.error = String(error?.message ?? error);
      }
      answers.push(answered);
    }
    await tell({answers});
  } catch (error) {
    await tell({failed: String(error?.stack ?? error)});
  }
}
