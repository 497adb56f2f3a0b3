// Python in a worker: loads it, says how far it is, and answers the page's questions with tools/desk.py.

import { loadPyodide } from "./pyodide.mjs";

const here = new URL(".", import.meta.url).href;
const askNetwork = self.fetch.bind(self);
let received = 0;

/** The browser's own store of these files, under the name of this folder, which changes with them; null without one. */
async function openStore() {
  if (!self.caches) return null; // not on plain http
  for (const name of await caches.keys()) if (name.startsWith("q1 ") && name !== `q1 ${here}`) await caches.delete(name);
  return caches.open(`q1 ${here}`);
}

const store = openStore().catch(() => null);

/** fetch from the store if a file is there, else from the server into the store; its bytes are counted. */
self.fetch = async (address) => {
  const shelf = await store;
  const stored = await shelf?.match(address);
  const response = stored ?? (await askNetwork(address, { credentials: "same-origin" }));
  if (!response.ok) throw new Error(`${address} is not there (${response.status})`);
  if (!stored) shelf?.put(address, response.clone()).catch(() => {}); // a full disk is no reason to stop
  const count = new TransformStream({
    transform(chunk, counted) {
      received += chunk.byteLength;
      postMessage({ received });
      counted.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), { headers: response.headers });
};

async function start() {
  const packages = self.fetch(`${here}packages.zip`).then((response) => response.arrayBuffer());
  const python = await loadPyodide({ indexURL: here });
  python.unpackArchive(await packages, "zip", { extractDir: "/packages" });
  python.runPython("import sys; sys.dont_write_bytecode = True; sys.path.insert(0, '/packages')");
  return python.pyimport("tools.desk").reply;
}

const ready = start();
ready.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ failed: String(error.message ?? error).trim().split("\n").pop() }),
);

self.onmessage = async ({ data: { number, request } }) => {
  try {
    postMessage({ number, answer: (await ready)(request) });
  } catch (error) {
    postMessage({ number, failed: String(error.message ?? error).trim().split("\n").pop() });
  }
};
