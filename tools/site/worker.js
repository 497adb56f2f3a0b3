// Python in a worker: loads it, says how far it is, and answers the page's questions with tools/desk.py.

import { loadPyodide } from "./pyodide.mjs";

const here = new URL(".", import.meta.url).href;
const askNetwork = self.fetch.bind(self);
let received = 0;

/** fetch, whose bytes are counted. The response stays as it came: the browser keeps what it compiled of such a one. */
self.fetch = async (address) => {
  const response = await askNetwork(address, { credentials: "same-origin" });
  if (!response.ok) throw new Error(`${address} is not there (${response.status})`);
  count(response.clone().body.getReader());
  return response;
};

async function count(reader) {
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    received += part.value.byteLength;
    postMessage({ received });
  }
}

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
