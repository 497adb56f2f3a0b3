// node compile.mjs FOLDER PACKAGES: the modules that Q1 needs, compiled by the very Python of the page; it starts sooner then.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, packages] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide.mjs")).href);
const python = await loadPyodide({ indexURL: folder + path.sep });
const zip = new Uint8Array(fs.readFileSync(packages));
python.FS.writeFile("/packages.zip", zip);
python.unpackArchive(zip, "zip", { extractDir: "/packages" });
try {
  python.runPython(fs.readFileSync(new URL("compile.py", import.meta.url), "utf8"));
} catch (error) {
  console.error(String(error.message).trim().split("\n").pop()); // Python's own words, without the script's
  process.exit(1);
}
fs.writeFileSync(packages, python.FS.readFile("/compiled.zip"));
