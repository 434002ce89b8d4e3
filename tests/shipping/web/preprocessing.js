/**
 * The last step of a manifest's preprocessing: byte * scale + offset, each operation rounded to float32.
 * `image` is an ImageData of the network's size; `preprocessing` is the manifest's. Its alpha is left out.
 */
export function prepare(image, {colour, scale, offset}) {
  if (colour === 'grey') throw new Error('grey images are not prepared here');
  const scales = Float32Array.from(scale), offsets = Float32Array.from(offset);
  const tensor = new Float32Array(image.width * image.height * 3);
  for (let i = 0; i < tensor.length; i++) {
    const pixel = Math.floor(i / 3), channel = i % 3;
    const byte = image.data[4 * pixel + (colour === 'bgr' ? 2 - channel : channel)];
    tensor[i] = Math.fround(byte * scales[channel % scales.length]) + offsets[channel % offsets.length];
  }
  return tensor;
}

/** Numbers to what a uint8 input stores: round(x / scale) + zero_point, halves to even, clipped. `input` is the manifest's. */
export function quantize(tensor, {scale, zero_point}) {
  const step = Math.fround(scale);
  return Uint8ClampedArray.from(tensor, x => {
    const steps = Math.fround(x / step), up = Math.round(steps);
    return (up - steps === 0.5 && up % 2 !== 0 ? up - 1 : up) + zero_point;
  });
}
