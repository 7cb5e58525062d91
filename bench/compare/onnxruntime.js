// Times ONNX Runtime for compare.py: onnxruntime.js MODEL.onnx REPEATS THREADS SHAPE...
// Prints "ready"; then milliseconds of one of REPEATS runs in the model, a line for each line of standard input.
const ort = require('onnxruntime-node');
const readline = require('readline');

async function main() {
  const [model, repeats, threads, ...shape] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, {
    intraOpNumThreads: Number(threads), interOpNumThreads: 1, graphOptimizationLevel: 'all',
    extra: {session: {force_spinning_stop: '1'}},  // or its threads go on using cores while others are measured
  });
  const dims = shape.map(Number);
  const values = Float32Array.from({length: dims.reduce((a, b) => a * b)}, () => 2 * Math.random() - 1);
  const feeds = {[session.inputNames[0]]: new ort.Tensor('float32', values, dims)};
  console.log('ready 0 0');
  for await (const _ of readline.createInterface({input: process.stdin})) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    console.log(Number(process.hrtime.bigint() - start) / 1e6 / Number(repeats));
  }
}

main().catch(error => { console.error(String(error)); process.exit(1); });
