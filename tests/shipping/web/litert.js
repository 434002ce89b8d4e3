import {loadAndCompile, loadLiteRt, Tensor, unloadLiteRt} from '@litertjs/core';
import {answer, bytes, image} from './exchange.js';
import {prepare, quantize} from './preprocessing.js';

// What Chromium takes by itself, what an older browser takes, and what a page with cross-origin isolation may ask for.
const BUILDS = {default: ['', {}], compat: ['litert_wasm_compat_internal.js', {}], threads: ['', {threads: true}]};
const described = tensors => tensors.map(({name, dtype, shape}) => ({name, dtype, shape: [...shape]}));

async function classify(model, job, from) {
  const prepared = prepare(await image(from), job.preprocessing);
  const stored = job.quantization ? new Uint8Array(quantize(prepared, job.quantization).buffer) : prepared;
  const tensor = new Tensor(stored, job.shape);
  const outputs = await model.run(tensor);
  const scores = [];
  for (const output of outputs) {
    scores.push([...await output.data()]);
    output.delete();
  }
  tensor.delete();
  return {tensor: job.tell ? [...stored] : null, outputs: scores};
}

await answer(async (job, answered) => {
  const [file, options] = BUILDS[job.build];
  answered.stage = 'load';
  await loadLiteRt('/node_modules/@litertjs/core/wasm/' + file, options);
  try {
    answered.stage = 'compile';
    const model = await loadAndCompile(await bytes(job.model), {accelerator: 'wasm'});
    answered.stage = 'run';
    answered.inputs = described(model.getInputDetails());
    answered.outputs = described(model.getOutputDetails());
    answered.runs = [];
    for (const from of job.images) answered.runs.push(await classify(model, job, from));
    model.delete();
    answered.stage = 'done';
  } finally {
    unloadLiteRt();
  }
});
