import {FilesetResolver, ImageClassifier} from '@mediapipe/tasks-vision';
import {answer, bytes, image} from './exchange.js';

const fileset = await FilesetResolver.forVisionTasks('/node_modules/@mediapipe/tasks-vision/wasm');

function drawn(pixels) {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [pixels.width, pixels.height];
  canvas.getContext('2d').putImageData(pixels, 0, 0);
  return canvas;
}

await answer(async (job, answered) => {
  answered.stage = 'create';
  const baseOptions = {modelAssetBuffer: await bytes(job.model), delegate: 'CPU'};
  const classifier = await ImageClassifier.createFromOptions(fileset, {baseOptions, maxResults: -1});
  try {
    answered.stage = 'classify';
    answered.runs = [];
    for (const from of job.images) {
      const pixels = await image(from);
      const heads = classifier.classify(job.canvas ? drawn(pixels) : pixels).classifications;
      answered.runs.push(heads.map(({categories}) => categories.map(({index, score, categoryName}) => ({index, score, categoryName}))));
    }
    answered.stage = 'done';
  } finally {
    classifier.close();
  }
});
