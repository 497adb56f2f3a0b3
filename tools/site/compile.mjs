// node compile.mjs FOLDER PACKAGES: the modules that Q1 needs, compiled by the very Python of the page; it starts sooner then.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, packages] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide.mjs")).href);
const python = await loadPyodide({ indexURL: folder + path.sep });
python.FS.writeFile("/packages.zip", new Uint8Array(fs.readFileSync(packages)));
python.runPython(fs.readFileSync(new URL("compile.py", import.meta.url), "utf8"));
fs.writeFileSync(packages, python.FS.readFile("/compiled.zip"));
